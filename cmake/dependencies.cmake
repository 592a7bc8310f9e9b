# Why this file exists: every library of the product in one place, by its Debian 12 package.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED)                         # libssl-dev
find_package(ZLIB REQUIRED)                            # zlib1g-dev
find_package(Protobuf REQUIRED)                        # libprotobuf-dev, protobuf-compiler
find_package(fmt REQUIRED)                             # libfmt-dev
find_package(spdlog REQUIRED)                          # libspdlog-dev
find_package(simdjson REQUIRED)                        # libsimdjson-dev
find_package(CLI11 REQUIRED)                           # libcli11-dev
find_package(yaml-cpp REQUIRED)                        # libyaml-cpp-dev
find_package(Boost 1.81 REQUIRED COMPONENTS url)       # libboost-url1.81-dev

# Libraries that only know pkg-config, as <name>::<name>.
function(capstan_pkg name module)
  pkg_check_modules(${name} REQUIRED IMPORTED_TARGET GLOBAL ${module})
  add_library(${name}::${name} ALIAS PkgConfig::${name})
endfunction()
capstan_pkg(uring liburing)        # liburing-dev
capstan_pkg(nghttp2 libnghttp2)    # libnghttp2-dev
capstan_pkg(isal libisal)          # libisal-dev
capstan_pkg(xxhash libxxhash)      # libxxhash-dev; its header is used inline
capstan_pkg(blkid blkid)           # libblkid-dev
capstan_pkg(udev libudev)          # libudev-dev
