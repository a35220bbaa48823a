# Decides whether the CUDA kernels are built, for which architectures and with which runtime, sets
# up the language, and says on the terminal what was decided and why.
#
#   SPARSE_GEMM_CUDA                auto (build them if a compiler is found), on, off
#   SPARSE_GEMM_CUDA_ARCHITECTURES  CMake's list: 90a-real is machine code, 80-virtual is PTX
#   SPARSE_GEMM_CUDA_RUNTIME        static, shared
#   SPARSE_GEMM_CUDA_FLAGS          more options for nvcc
#
# SPARSE_GEMM_CUDA_FP8_ARCHITECTURES are the same for kernels of fp8: PTX for architectures that lack
# its instructions becomes PTX for the first that has them.
#
# Leaves SPARSE_GEMM_CUDA_BUILT and, if true, the library `sparse_gemm_cudart` to link, or else
# SPARSE_GEMM_CUDA_LEFT_OUT, the reason.

include(${CMAKE_CURRENT_LIST_DIR}/find_nvcc.cmake)

set(SPARSE_GEMM_CUDA "auto" CACHE STRING "build the CUDA kernels: auto, on or off")
set(SPARSE_GEMM_CUDA_ARCHITECTURES "80-real;86-real;89-real;90a-real;100-real;120-real;80-virtual"
  CACHE STRING "what to compile the CUDA kernels for")
set(SPARSE_GEMM_CUDA_RUNTIME "static" CACHE STRING "the CUDA runtime to link: static or shared")
set(SPARSE_GEMM_CUDA_FLAGS "" CACHE STRING "more options for nvcc")
foreach(option IN ITEMS "SPARSE_GEMM_CUDA;auto;on;off" "SPARSE_GEMM_CUDA_RUNTIME;static;shared")
  list(POP_FRONT option name)
  if(NOT "${${name}}" IN_LIST option)
    message(FATAL_ERROR "${name} is '${${name}}'; expected one of ${option}")
  endif()
endforeach()

set(SPARSE_GEMM_CUDA_BUILT FALSE)
set(SPARSE_GEMM_CUDA_LEFT_OUT "")
if(SPARSE_GEMM_CUDA STREQUAL "off")
  set(SPARSE_GEMM_CUDA_LEFT_OUT "SPARSE_GEMM_CUDA is off")
else()
  find_nvcc()
  if(NOT NVCC)
    set(SPARSE_GEMM_CUDA_LEFT_OUT "${NVCC_MISSING}")
  endif()
endif()
if(SPARSE_GEMM_CUDA_LEFT_OUT)
  if(SPARSE_GEMM_CUDA STREQUAL "on")
    message(FATAL_ERROR "SPARSE_GEMM_CUDA is on, but there is ${SPARSE_GEMM_CUDA_LEFT_OUT}")
  endif()
  message(STATUS "CUDA kernels: left out, ${SPARSE_GEMM_CUDA_LEFT_OUT}")
  return()
endif()

# The PyPI packages keep the runtime where their nvcc does not look for it; CMake's first look at
# the compiler links a program.
cmake_path(GET NVCC PARENT_PATH nvcc_bin)
cmake_path(GET nvcc_bin PARENT_PATH nvcc_root)
set(ENV{LIBRARY_PATH} "${nvcc_root}/lib:$ENV{LIBRARY_PATH}")
set(CMAKE_CUDA_COMPILER "${NVCC}" CACHE FILEPATH "the CUDA compiler")
set(CMAKE_CUDA_ARCHITECTURES "${SPARSE_GEMM_CUDA_ARCHITECTURES}")
enable_language(CUDA)

# By file name: PyPI has no unversioned libcudart.so.
if(SPARSE_GEMM_CUDA_RUNTIME STREQUAL "static")
  set(cudart_names libcudart_static.a)
  set(cudart_needs Threads::Threads ${CMAKE_DL_LIBS} rt)
else()
  string(REGEX MATCH "^[0-9]+" cuda_major "${NVCC_VERSION}")
  set(cudart_names libcudart.so libcudart.so.${cuda_major})
  set(cudart_needs "")
endif()
find_library(SPARSE_GEMM_CUDART NAMES ${cudart_names} NO_DEFAULT_PATH NO_CACHE REQUIRED
  PATHS ${CMAKE_CUDA_IMPLICIT_LINK_DIRECTORIES} ${nvcc_root}/lib ${nvcc_root}/lib64)
add_library(sparse_gemm_cudart INTERFACE)
target_include_directories(sparse_gemm_cudart SYSTEM INTERFACE
  ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
target_link_libraries(sparse_gemm_cudart INTERFACE ${SPARSE_GEMM_CUDART} ${cudart_needs})

# CMake 3.25 does not know C++20 for CUDA and would drop CUDA_STANDARD in silence.
add_library(sparse_gemm_cuda_options INTERFACE)
separate_arguments(cuda_flags UNIX_COMMAND "${SPARSE_GEMM_CUDA_FLAGS}")
target_compile_options(sparse_gemm_cuda_options INTERFACE "$<$<COMPILE_LANGUAGE:CUDA>:\
-std=c++20;--expt-relaxed-constexpr;-Xcompiler=-Wall,-Wextra;${cuda_flags}>")

set(SPARSE_GEMM_CUDA_FP8_ARCHITECTURES "")
foreach(architecture IN LISTS SPARSE_GEMM_CUDA_ARCHITECTURES)
  if(architecture MATCHES "^8[0-8]")
    if(NOT architecture MATCHES "-real$")
      list(APPEND SPARSE_GEMM_CUDA_FP8_ARCHITECTURES 89-virtual)
    endif()
  elseif(architecture MATCHES "^(9[0-9]|1[01][0-9])(-virtual)?$")
    # In PTX for these the kernels are empty, and a later device would take it for its own.
    if(NOT CMAKE_MATCH_2)
      list(APPEND SPARSE_GEMM_CUDA_FP8_ARCHITECTURES ${CMAKE_MATCH_1}-real)
    endif()
    list(APPEND SPARSE_GEMM_CUDA_FP8_ARCHITECTURES 89-virtual)
  else()
    list(APPEND SPARSE_GEMM_CUDA_FP8_ARCHITECTURES ${architecture})
  endif()
endforeach()
if(NOT SPARSE_GEMM_CUDA_FP8_ARCHITECTURES)
  set(SPARSE_GEMM_CUDA_FP8_ARCHITECTURES 89-virtual)  # there is nothing that could run them
endif()
list(REMOVE_DUPLICATES SPARSE_GEMM_CUDA_FP8_ARCHITECTURES)

set(SPARSE_GEMM_CUDA_BUILT TRUE)
message(STATUS "CUDA kernels: nvcc ${NVCC_VERSION} (${NVCC_ORIGIN}: ${NVCC}), "
  "for ${SPARSE_GEMM_CUDA_ARCHITECTURES}, ${SPARSE_GEMM_CUDA_RUNTIME} cudart ${SPARSE_GEMM_CUDART}")
