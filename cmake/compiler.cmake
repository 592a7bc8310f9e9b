# Why this file exists: only clang 19 compiles our coroutines correctly (g++ 12 is silently wrong),
# so any GNU compiler is refused and every compiler must pass the coroutine probe.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND NOT CAPSTAN_ALLOW_COMPILER)
  message(FATAL_ERROR "Capstan does not build with g++: g++ 12 miscompiles coroutines. "
    "Install clang-19 and use a preset: cmake --preset release")
endif()

if(NOT DEFINED CAPSTAN_COROUTINES_RIGHT)
  try_run(CAPSTAN_PROBE_RUN CAPSTAN_PROBE_COMPILED
    ${CMAKE_BINARY_DIR}/probe ${CMAKE_SOURCE_DIR}/cmake/coroutine_probe.cc
    CXX_STANDARD 23 COMPILE_OUTPUT_VARIABLE output RUN_OUTPUT_VARIABLE run_output)
  if(NOT CAPSTAN_PROBE_COMPILED OR NOT CAPSTAN_PROBE_RUN EQUAL 0)
    message(FATAL_ERROR "This compiler gets C++ coroutines wrong (cmake/coroutine_probe.cc):\n"
      "${output}\n${run_output}")
  endif()
  set(CAPSTAN_COROUTINES_RIGHT ON CACHE INTERNAL "the coroutine probe passed")
endif()

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
# Paths relative to the checkout: the compiler cache then serves every clone.
add_compile_options(-fno-omit-frame-pointer -fstack-protector-strong
  -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
add_link_options(-fuse-ld=lld-19)
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g -flto=thin -march=x86-64-v2 -D_FORTIFY_SOURCE=2")
  # Linking compiles: what has not changed since the last link is not compiled again.
  add_link_options(LINKER:--thinlto-cache-dir=${CMAKE_BINARY_DIR}/thinlto
    LINKER:--thinlto-cache-policy=cache_size_bytes=1g)
elseif(CAPSTAN_SANITIZE)
  set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1")
  add_compile_options(-fsanitize=${CAPSTAN_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${CAPSTAN_SANITIZE})
else()
  set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g1")
endif()
if(CAPSTAN_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# Warnings for our own code only; generated code and headers of libraries are not ours to fix.
add_library(capstan_flags INTERFACE)
target_compile_options(capstan_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
  -Wno-sign-conversion -Wdangling -Wreturn-stack-address -Wunused-result -Werror)
