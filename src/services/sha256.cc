// Why this file exists: see sha256.h.
#include "services/sha256.h"

#include <openssl/evp.h>

#include <array>

#include "base/assert.h"

namespace capstan::services {

namespace {
constexpr std::array<std::uint8_t, 64 << 10> kZeros{};
}

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  CAPSTAN_ASSERT(context_ && EVP_DigestInit_ex(context_, EVP_sha256(), nullptr) == 1);
}

Sha256::~Sha256() {
  EVP_MD_CTX_free(context_);
}

void Sha256::add(ByteView bytes) {
  CAPSTAN_ASSERT(EVP_DigestUpdate(context_, bytes.data(), bytes.size()) == 1);
}

void Sha256::add_zeros(std::uint64_t count) {
  CAPSTAN_ASSERT(count <= kZeroBytes);
  while (count != 0) {
    const std::uint64_t step = count < kZeros.size() ? count : kZeros.size();
    add(ByteView(kZeros).first(step));
    count -= step;
  }
}

std::string Sha256::finish() {
  std::string digest(32, '\0');
  unsigned length = 0;
  CAPSTAN_ASSERT(
      EVP_DigestFinal_ex(context_, reinterpret_cast<unsigned char*>(digest.data()), &length) == 1);
  CAPSTAN_ASSERT(length == digest.size());
  return digest;
}

}  // namespace capstan::services
