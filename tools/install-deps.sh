#!/usr/bin/env bash
# Installs the Debian 12 packages that building, running and testing need, and only those that are
# missing; when everything is there it changes nothing and needs neither network nor root.
#
#   tools/install-deps.sh            install what is missing
#   tools/install-deps.sh --tests    the same, with qemu for the tests that need a Linux guest
#   tools/install-deps.sh --check    only say what is missing (exit 1 if something is)
set -euo pipefail

# Compiler and build.
packages=(clang-19 lld-19 libclang-rt-19-dev llvm-19 clang-tidy-19 clang-format-19
  cmake ninja-build ccache pkg-config git)
# Libraries of the product. Boost must be 1.81: the unversioned packages are 1.74, which has no URL
# library, and the two cannot be installed side by side.
packages+=(liburing-dev libnghttp2-dev libprotobuf-dev protobuf-compiler libboost1.81-dev
  libboost-url1.81-dev libsimdjson-dev libisal-dev libssl-dev zlib1g-dev libfmt-dev libspdlog-dev
  libxxhash-dev libcli11-dev libyaml-cpp-dev libblkid-dev libudev-dev)
# Tests: GoogleTest, official gRPC client, ext4 tools, packed sample images.
packages+=(libgtest-dev libgmock-dev libbenchmark-dev librapidcheck-dev python3 python3-grpcio
  python3-protobuf e2fsprogs openssl zstd curl)

# A real Linux kernel as NVMe/TCP host and target.
if [ "${1:-}" = --tests ]; then packages+=(qemu-system-x86 xz-utils); fi

# A browser, for whoever has npm to drive it with.
if command -v npm >/dev/null; then packages+=(chromium); fi

if ! command -v dpkg-query >/dev/null; then
  echo "install-deps: this is not a Debian system (no dpkg-query)." >&2
  echo "install-deps: install the counterparts of: ${packages[*]}" >&2
  exit 1
fi

installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing=()
for package in "${packages[@]}"; do
  installed "$package" || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "install-deps: all ${#packages[@]} packages are there."
  exit 0
fi
echo "install-deps: missing: ${missing[*]}"
[ "${1:-}" != --check ] || exit 1

if installed libboost1.74-dev; then
  echo "install-deps: libboost1.74-dev conflicts with the Boost 1.81 that is needed here." >&2
  echo "install-deps: remove it first:  apt-get remove libboost1.74-dev" >&2
  exit 1
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "install-deps: not root and no sudo here. As root, run:" >&2
    echo "  apt-get update && apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
echo "install-deps: installing ${#missing[@]} packages with apt-get (minutes on a fresh machine)"
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -q --no-install-recommends --no-remove "${missing[@]}"
