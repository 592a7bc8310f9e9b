// Why this file exists: NVMe/TCP PDUs under any bytes, in both directions: a checked header never
// promises more than the PDU has, and what is read and written again is what it was.
#include <algorithm>
#include <array>

#include "base/assert.h"
#include "storage/nvme/nvme_codec.h"
#include "storage/nvme/nvme_tcp_codec.h"

namespace {

using namespace capstan;
using namespace capstan::storage::nvme;

void rewrite(const CommonHeader& common, ByteView header, std::uint32_t data, Digests digests) {
  std::array<std::uint8_t, 256> out;
  const std::uint8_t* from = header.data();
  if (common.type == PduType::kR2t) {
    const R2t r2t = load_r2t(from),
              again = (store_r2t(out.data(), r2t, digests), load_r2t(out.data()));
    CAPSTAN_ASSERT(r2t.tag == again.tag && r2t.length == again.length);
  } else if (common.type == PduType::kH2cData || common.type == PduType::kC2hData) {
    DataHeader fields = load_data(from);
    fields.length = data;
    const std::size_t size = store_data(out.data(), common.type, fields, 0, digests, 0);
    CAPSTAN_ASSERT(size == header.size());
    CAPSTAN_ASSERT(load_common(out.data()).total_bytes == common.total_bytes);
    CAPSTAN_ASSERT(check_data(load_common(out.data()), size, digests) == data);
  } else if (common.type == PduType::kCapsuleCmd) {
    const Command command = Command::load(from + kCommonBytes);
    const std::size_t size = store_capsule_cmd(out.data(), command.bytes, data, digests, 0);
    CAPSTAN_ASSERT(size == header.size());
    CAPSTAN_ASSERT(std::equal(command.bytes.begin(), command.bytes.end(), out.data() + 8));
    CAPSTAN_ASSERT(
        check_header_digest(load_common(out.data()), ByteView(out).first(size), digests));
  } else if (common.type == PduType::kIcReq) {
    if (const auto request = load_ic_req(from)) {
      store_ic_req(out.data(), *request);
      CAPSTAN_ASSERT(load_ic_req(out.data())->digests == request->digests);
    }
  } else if (common.type == PduType::kIcResp) {
    if (const auto response = load_ic_resp(from)) {
      store_ic_resp(out.data(), *response);
      CAPSTAN_ASSERT(load_ic_resp(out.data())->max_data_bytes == response->max_data_bytes);
    }
  } else if (common.type == PduType::kH2cTermReq || common.type == PduType::kC2hTermReq) {
    (void)fatal_name(load_term_req(from).fatal.status);
  }
}

void receive(ByteView bytes, Receiver receiver, Digests digests) {
  bool initialised = false;
  while (bytes.size() >= kCommonBytes) {
    const CommonHeader common = load_common(bytes.data());
    const auto size = check_common(common, receiver, initialised, digests);
    if (!size || bytes.size() < *size) {
      std::array<std::uint8_t, kTermReqBytes + kTermReqCopyBytes> out;
      const Fatal fatal = size ? Fatal() : size.error();
      CAPSTAN_ASSERT(store_term_req(out.data(), PduType::kC2hTermReq, fatal, bytes) <= out.size());
      return;
    }
    CAPSTAN_ASSERT(*size <= common.total_bytes && *size <= kHeaderBytesMax);
    const ByteView header = bytes.first(*size);
    if (!check_header_digest(common, header, digests) && !digests.header) CAPSTAN_ASSERT(false);
    const auto data = check_data(common, *size, digests);
    if (!data) return;
    CAPSTAN_ASSERT(*size + *data <= common.total_bytes);
    rewrite(common, header, *data, digests);
    initialised = true;
    if (bytes.size() < common.total_bytes) return;
    bytes = bytes.subspan(common.total_bytes);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  for (const bool header : {false, true}) {
    for (const bool payload : {false, true}) {
      receive({data, size}, Receiver::kTarget, {header, payload});
      receive({data, size}, Receiver::kHost, {header, payload});
    }
  }
  return 0;
}
