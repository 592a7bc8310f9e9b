// Why this file exists: see image_hash.h.
#include "apps/capstan/image_hash.h"

#include <openssl/evp.h>

#include <algorithm>
#include <vector>

#include "base/assert.h"
#include "core/reactor.h"

namespace capstan::apps {
namespace {

constexpr std::size_t kZeroBlock = 1U << 20;

EVP_MD_CTX* as_context(void* context) {
  return static_cast<EVP_MD_CTX*>(context);
}

}  // namespace

void ImageHash::Free::operator()(void* context) const {
  EVP_MD_CTX_free(as_context(context));
}

ImageHash::ImageHash() : context_(EVP_MD_CTX_new()) {
  CAPSTAN_ASSERT(context_ != nullptr);
  CAPSTAN_ASSERT(EVP_DigestInit_ex(as_context(context_.get()), EVP_sha256(), nullptr) == 1);
}

ImageHash::~ImageHash() = default;

void ImageHash::add(ByteView bytes) {
  CAPSTAN_ASSERT(EVP_DigestUpdate(as_context(context_.get()), bytes.data(), bytes.size()) == 1);
  position_ += bytes.size();
}

core::Task<void> ImageHash::zeros_to(std::uint64_t position) {
  CAPSTAN_ASSERT(position >= position_);
  if (position == position_) co_return;
  const std::vector<std::uint8_t> zeros(
      static_cast<std::size_t>(std::min<std::uint64_t>(kZeroBlock, position - position_)), 0);
  while (position_ < position) {
    const auto step = std::min<std::uint64_t>(zeros.size(), position - position_);
    add(ByteView(zeros).first(static_cast<std::size_t>(step)));
    co_await core::yield();
  }
}

Sha256 ImageHash::finish() {
  Sha256 digest{};
  unsigned size = 0;
  CAPSTAN_ASSERT(EVP_DigestFinal_ex(as_context(context_.get()), digest.data(), &size) == 1);
  CAPSTAN_ASSERT(size == digest.size());
  return digest;
}

std::string hex_text(ByteView bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace capstan::apps
