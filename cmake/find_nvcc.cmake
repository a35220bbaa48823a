# Finds a CUDA compiler that is new enough: the one that an earlier configure or the user chose, on
# PATH, at CUDA_HOME or CUDA_PATH, or in the PyPI package nvidia-cuda-nvcc of the Python that builds.
# Also a script, which prints its path, or fails if there is none:
#   cmake [-DPython_EXECUTABLE=...] -P cmake/find_nvcc.cmake

set(SPARSE_GEMM_NVCC_MIN 12.8)  # the first that compiles for sm_100 and sm_120

# Sets in the caller: NVCC, NVCC_VERSION, NVCC_ORIGIN, or NVCC empty and NVCC_MISSING, the reason.
function(find_nvcc)
  find_program(on_path nvcc NO_DEFAULT_PATH PATHS ENV PATH NO_CACHE)
  set(candidates "CMAKE_CUDA_COMPILER=${CMAKE_CUDA_COMPILER}" "PATH=${on_path}")
  foreach(variable CUDA_HOME CUDA_PATH)
    if(DEFINED ENV{${variable}})
      list(APPEND candidates "${variable}=$ENV{${variable}}/bin/nvcc")
    endif()
  endforeach()
  if(Python_EXECUTABLE)
    execute_process(
      COMMAND "${Python_EXECUTABLE}" -c
        "import nvidia; print(*('PyPI=' + p + '/cu13/bin/nvcc' for p in nvidia.__path__), sep=';')"
      OUTPUT_VARIABLE from_pypi OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    list(APPEND candidates ${from_pypi})
  endif()

  set(too_old "")
  foreach(candidate IN LISTS candidates)
    string(REGEX MATCH "^([^=]*)=(.*)$" _ "${candidate}")
    set(origin "${CMAKE_MATCH_1}")
    set(path "${CMAKE_MATCH_2}")
    if(NOT EXISTS "${path}")
      continue()
    endif()
    execute_process(COMMAND "${path}" --version OUTPUT_VARIABLE text ERROR_QUIET)
    string(REGEX MATCH "V([0-9.]+)" _ "${text}")
    set(version "${CMAKE_MATCH_1}")
    if(version VERSION_GREATER_EQUAL SPARSE_GEMM_NVCC_MIN)
      # It may be a script or a link: its tools and libraries lie beside the real one.
      execute_process(COMMAND "${path}" --dryrun -x cu /dev/null ERROR_VARIABLE text OUTPUT_QUIET)
      string(REGEX MATCH "_HERE_=([^\n]*)" _ "${text}")
      set(NVCC "${CMAKE_MATCH_1}/nvcc" PARENT_SCOPE)
      set(NVCC_VERSION "${version}" PARENT_SCOPE)
      set(NVCC_ORIGIN "${origin}" PARENT_SCOPE)
      return()
    endif()
    string(APPEND too_old "; ${path} is ${version}")
  endforeach()
  set(NVCC "" PARENT_SCOPE)
  set(NVCC_MISSING
    "no nvcc >= ${SPARSE_GEMM_NVCC_MIN} on PATH, at CUDA_HOME or from PyPI${too_old}" PARENT_SCOPE)
endfunction()

if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
  find_nvcc()
  if(NOT NVCC)
    message(FATAL_ERROR "${NVCC_MISSING}")
  endif()
  execute_process(COMMAND "${CMAKE_COMMAND}" -E echo "${NVCC}")
endif()
