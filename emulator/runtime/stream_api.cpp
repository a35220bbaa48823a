// Streams and events: handles without queues, as everything is done when its call returns.
#include <chrono>

#include "runtime/state.h"

using emulator::finish;

// The handles are pointers to these; the runtime's headers leave both types to us.
struct CUstream_st {
  int device;
  unsigned flags;
};
struct CUevent_st {
  std::chrono::steady_clock::time_point time;
  bool recorded = false;
};

extern "C" {

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  *stream = new CUstream_st{emulator::thread_state().device, flags};
  return finish(cudaSuccess);
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return finish(cudaSuccess);
}
cudaError_t cudaStreamSynchronize(cudaStream_t) {
  return finish(cudaSuccess);
}
cudaError_t cudaStreamQuery(cudaStream_t) {
  return finish(cudaSuccess);
}
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) {
  return finish(cudaSuccess);
}
cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* status) {
  *status = cudaStreamCaptureStatusNone;
  return finish(cudaSuccess);
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t, cudaStreamCaptureStatus* status,
                                     unsigned long long*, cudaGraph_t*, const cudaGraphNode_t**,
                                     const cudaGraphEdgeData**, size_t*) {
  *status = cudaStreamCaptureStatusNone;
  return finish(cudaSuccess);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return finish(cudaSuccess);
}
cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return finish(cudaSuccess);
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  event->time = std::chrono::steady_clock::now();
  event->recorded = true;
  return finish(cudaSuccess);
}
cudaError_t cudaEventSynchronize(cudaEvent_t) {
  return finish(cudaSuccess);
}
cudaError_t cudaEventQuery(cudaEvent_t) {
  return finish(cudaSuccess);
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  if (!start->recorded || !end->recorded) return finish(cudaErrorInvalidResourceHandle);
  // The time that emulation took: never a GPU's.
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
  return finish(cudaSuccess);
}

}  // extern "C"
