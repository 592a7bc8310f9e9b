// Why this file exists: SHA-256 of content that arrives in pieces, of which some are holes. Through
// OpenSSL's EVP, which uses the CPU's instructions for it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/bytes.h"

struct evp_md_ctx_st;

namespace capstan::services {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void add(ByteView bytes);
  // At most kZeroBytes zeros; long holes are added in steps, so that other work gets its turn.
  void add_zeros(std::uint64_t count);
  static constexpr std::uint64_t kZeroBytes = 1U << 20;
  // The 32 bytes; nothing may be added afterwards.
  std::string finish();

 private:
  evp_md_ctx_st* context_;
};

}  // namespace capstan::services
