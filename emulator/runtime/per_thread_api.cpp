// The names that `--default-stream per-thread` gives to calls with a stream: the same functions.
#include "runtime/abi.h"

#define FORWARD(suffix, name, parameters, arguments) \
  extern "C" cudaError_t name##suffix parameters {   \
    return name arguments;                           \
  }

FORWARD(_ptsz, cudaLaunchKernel,
        (const void* f, dim3 g, dim3 b, void** p, size_t s, cudaStream_t t), (f, g, b, p, s, t))
FORWARD(_ptsz, cudaLaunchKernelExC, (const cudaLaunchConfig_t* c, const void* f, void** p),
        (c, f, p))
FORWARD(_ptds, cudaMemcpy, (void* d, const void* s, size_t n, cudaMemcpyKind k), (d, s, n, k))
FORWARD(_ptsz, cudaMemcpyAsync,
        (void* d, const void* s, size_t n, cudaMemcpyKind k, cudaStream_t t), (d, s, n, k, t))
FORWARD(_ptds, cudaMemset, (void* p, int v, size_t n), (p, v, n))
FORWARD(_ptsz, cudaMemsetAsync, (void* p, int v, size_t n, cudaStream_t t), (p, v, n, t))
FORWARD(_ptsz, cudaStreamSynchronize, (cudaStream_t t), (t))
FORWARD(_ptsz, cudaStreamQuery, (cudaStream_t t), (t))
FORWARD(_ptsz, cudaStreamWaitEvent, (cudaStream_t t, cudaEvent_t e, unsigned f), (t, e, f))
FORWARD(_ptsz, cudaEventRecord, (cudaEvent_t e, cudaStream_t t), (e, t))
FORWARD(_ptsz, cudaMallocAsync, (void** p, size_t n, cudaStream_t t), (p, n, t))
FORWARD(_ptsz, cudaFreeAsync, (void* p, cudaStream_t t), (p, t))
