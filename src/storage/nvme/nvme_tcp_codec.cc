// Why this file exists: see nvme_tcp_codec.h.
#include "storage/nvme/nvme_tcp_codec.h"

#include <algorithm>

#include "base/assert.h"
#include "base/checksum.h"

namespace capstan::storage::nvme {

namespace {

constexpr std::uint32_t kTypeField = 0, kHlenField = 2, kPdoField = 3, kPlenField = 4;
constexpr std::uint32_t kMinDataLimit = 4096;

std::unexpected<Fatal> bad(FatalStatus status, std::uint32_t information) {
  return std::unexpected(Fatal{status, information});
}
std::unexpected<Fatal> bad_field(std::uint32_t offset) {
  return bad(FatalStatus::kInvalidHeader, offset);
}

// Header bytes of a PDU that this receiver takes once initialised; 0: it takes no such PDU.
std::size_t expected_header(PduType type, Receiver receiver) {
  const bool target = receiver == Receiver::kTarget;
  switch (type) {
    case PduType::kIcReq: return target ? kIcBytes : 0;
    case PduType::kIcResp: return target ? 0 : kIcBytes;
    case PduType::kH2cTermReq: return target ? kTermReqBytes : 0;
    case PduType::kC2hTermReq: return target ? 0 : kTermReqBytes;
    case PduType::kCapsuleCmd: return target ? kCapsuleCmdBytes : 0;
    case PduType::kCapsuleResp: return target ? 0 : kCapsuleRespBytes;
    case PduType::kH2cData: return target ? kDataHeaderBytes : 0;
    case PduType::kC2hData:
    case PduType::kR2t: return target ? 0 : kDataHeaderBytes;
  }
  return 0;
}

bool is_ic(PduType type) {
  return type == PduType::kIcReq || type == PduType::kIcResp;
}
bool is_term(PduType type) {
  return type == PduType::kH2cTermReq || type == PduType::kC2hTermReq;
}
bool has_data(PduType type) {
  return type == PduType::kH2cData || type == PduType::kC2hData || type == PduType::kCapsuleCmd;
}

bool length_fits(const CommonHeader& common, std::size_t header) {
  switch (common.type) {
    case PduType::kIcReq:
    case PduType::kIcResp: return common.total_bytes == kIcBytes;
    case PduType::kH2cTermReq:
    case PduType::kC2hTermReq:
      return common.total_bytes >= kTermReqBytes &&
             common.total_bytes <= kTermReqBytes + kTermReqCopyBytes;
    case PduType::kCapsuleResp:
    case PduType::kR2t: return common.total_bytes == header;
    case PduType::kCapsuleCmd:
    case PduType::kH2cData:
    case PduType::kC2hData: return common.total_bytes >= header;
  }
  return false;
}

std::uint8_t digest_bits(Digests digests) {
  return static_cast<std::uint8_t>((digests.header ? 1 : 0) | (digests.data ? 2 : 0));
}
Digests digests_of(std::uint8_t bits) {
  return {(bits & 1) != 0, (bits & 2) != 0};
}

void store_common(std::uint8_t* to, PduType type, std::uint8_t flags, std::size_t header_bytes,
                  std::size_t data_at, std::size_t total_bytes) {
  to[0] = static_cast<std::uint8_t>(type);
  to[1] = flags;
  to[2] = static_cast<std::uint8_t>(header_bytes);
  to[3] = static_cast<std::uint8_t>(data_at);
  store_le(to + 4, static_cast<std::uint32_t>(total_bytes));
}

// The digest of a finished header; answers the size with it.
std::size_t seal(std::uint8_t* to, std::size_t header_bytes, Digests digests) {
  if (!digests.header) return header_bytes;
  to[1] |= pdu_flag::kHeaderDigest;
  store_le(to + header_bytes, crc32c(ByteView(to, header_bytes)));
  return header_bytes + kDigestBytes;
}

// The common bytes of a PDU with data, and zeros in the padding before the data.
void store_data_common(std::uint8_t* to, PduType type, std::uint8_t flags, std::size_t header_bytes,
                       std::uint32_t data_bytes, Digests digests, std::uint8_t alignment) {
  std::uint32_t at = 0;
  std::size_t total = header_bytes + (digests.header ? kDigestBytes : 0);
  if (data_bytes != 0) {
    at = data_offset(header_bytes, digests, alignment);
    std::fill(to + total, to + at, std::uint8_t{0});
    total = at + data_bytes + (digests.data ? kDigestBytes : 0);
    if (digests.data) flags |= pdu_flag::kDataDigest;
  }
  store_common(to, type, flags, header_bytes, at, total);
}

}  // namespace

std::string_view fatal_name(FatalStatus status) {
  switch (status) {
    case FatalStatus::kInvalidHeader: return "invalid PDU header field";
    case FatalStatus::kSequence: return "PDU sequence error";
    case FatalStatus::kHeaderDigest: return "header digest error";
    case FatalStatus::kOutOfRange: return "data transfer out of range";
    case FatalStatus::kLimitExceeded: return "data transfer limit exceeded";
    case FatalStatus::kUnsupported: return "unsupported parameter";
  }
  return "unknown status";
}

CommonHeader load_common(const std::uint8_t* from) {
  return {static_cast<PduType>(from[0]), from[1], from[2], from[3],
          load_le<std::uint32_t>(from + 4)};
}

Checked<std::size_t> check_common(const CommonHeader& common, Receiver receiver, bool initialised,
                                  Digests digests) {
  const bool first = receiver == Receiver::kTarget ? common.type == PduType::kIcReq
                                                   : common.type == PduType::kIcResp;
  if (first == initialised) return bad(FatalStatus::kSequence, 0);
  const std::size_t header = expected_header(common.type, receiver);
  if (header == 0) return bad_field(kTypeField);
  if (common.header_bytes != header) return bad_field(kHlenField);
  const bool digest = digests.header && !is_ic(common.type) && !is_term(common.type);
  const std::size_t whole = header + (digest ? kDigestBytes : 0);
  if (!length_fits(common, whole)) return bad_field(kPlenField);
  return whole;
}

Checked<void> check_header_digest(const CommonHeader& common, ByteView header, Digests digests) {
  if (!digests.header || is_ic(common.type) || is_term(common.type)) return {};
  CAPSTAN_ASSERT(header.size() == common.header_bytes + kDigestBytes);
  const auto received = load_le<std::uint32_t>(header.data() + common.header_bytes);
  if (crc32c(header.first(common.header_bytes)) == received) return {};
  return bad(FatalStatus::kHeaderDigest, received);
}

Checked<std::uint32_t> check_data(const CommonHeader& common, std::size_t header_bytes,
                                  Digests digests) {
  if (!has_data(common.type) || common.total_bytes == header_bytes) return 0U;
  // We ask hosts for no alignment and are hosts that take none, so there is one place for data.
  if (common.data_offset != header_bytes) return bad_field(kPdoField);
  const std::uint32_t trailer = digests.data ? kDigestBytes : 0;
  const auto rest = static_cast<std::uint32_t>(common.total_bytes - header_bytes);
  if (rest <= trailer) return bad_field(kPlenField);
  return rest - trailer;
}

Checked<IcReq> load_ic_req(const std::uint8_t* header) {
  IcReq request{load_le<std::uint16_t>(header + 8), header[10], digests_of(header[11]),
                load_le<std::uint32_t>(header + 12)};
  if (request.version != 0) return bad_field(8);
  if (request.host_alignment > kHpdaMax) return bad_field(10);
  return request;
}

Checked<IcResp> load_ic_resp(const std::uint8_t* header) {
  IcResp response{load_le<std::uint16_t>(header + 8), header[10], digests_of(header[11]),
                  load_le<std::uint32_t>(header + 12)};
  if (response.version != 0) return bad_field(8);
  if (response.controller_alignment > kHpdaMax) return bad_field(10);
  if (response.max_data_bytes < kMinDataLimit || response.max_data_bytes % 4 != 0) {
    return bad_field(12);
  }
  return response;
}

TermReq load_term_req(const std::uint8_t* header) {
  return {{static_cast<FatalStatus>(load_le<std::uint16_t>(header + 8)),
           load_le<std::uint32_t>(header + 10)}};
}

DataHeader load_data(const std::uint8_t* header) {
  return {load_le<std::uint16_t>(header + 8), load_le<std::uint16_t>(header + 10),
          load_le<std::uint32_t>(header + 12), load_le<std::uint32_t>(header + 16)};
}

R2t load_r2t(const std::uint8_t* header) {
  return {load_le<std::uint16_t>(header + 8), load_le<std::uint16_t>(header + 10),
          load_le<std::uint32_t>(header + 12), load_le<std::uint32_t>(header + 16)};
}

std::uint32_t data_offset(std::size_t header_bytes, Digests digests, std::uint8_t alignment) {
  const std::size_t end = header_bytes + (digests.header ? kDigestBytes : 0);
  const std::size_t unit = (std::size_t{alignment} + 1) * 4;
  return static_cast<std::uint32_t>((end + unit - 1) / unit * unit);
}

void store_ic_req(std::uint8_t* to, const IcReq& request) {
  std::memset(to, 0, kIcBytes);
  store_common(to, PduType::kIcReq, 0, kIcBytes, 0, kIcBytes);
  store_le(to + 8, request.version);
  to[10] = request.host_alignment;
  to[11] = digest_bits(request.digests);
  store_le(to + 12, request.max_r2t);
}

void store_ic_resp(std::uint8_t* to, const IcResp& response) {
  std::memset(to, 0, kIcBytes);
  store_common(to, PduType::kIcResp, 0, kIcBytes, 0, kIcBytes);
  store_le(to + 8, response.version);
  to[10] = response.controller_alignment;
  to[11] = digest_bits(response.digests);
  store_le(to + 12, response.max_data_bytes);
}

std::size_t store_term_req(std::uint8_t* to, PduType type, Fatal fatal, ByteView header) {
  header = header.first(std::min(header.size(), kTermReqCopyBytes));
  std::memset(to, 0, kTermReqBytes);
  store_common(to, type, 0, kTermReqBytes, 0, kTermReqBytes + header.size());
  store_le(to + 8, static_cast<std::uint16_t>(fatal.status));
  store_le(to + 10, fatal.information);
  std::ranges::copy(header, to + kTermReqBytes);
  return kTermReqBytes + header.size();
}

std::size_t store_capsule_cmd(std::uint8_t* to, ByteView command, std::uint32_t data_bytes,
                              Digests digests, std::uint8_t alignment) {
  store_data_common(to, PduType::kCapsuleCmd, 0, kCapsuleCmdBytes, data_bytes, digests, alignment);
  std::ranges::copy(command, to + kCommonBytes);
  const std::size_t size = seal(to, kCapsuleCmdBytes, digests);
  return data_bytes == 0 ? size : data_offset(kCapsuleCmdBytes, digests, alignment);
}

std::size_t store_capsule_resp(std::uint8_t* to, ByteView completion, Digests digests) {
  store_common(to, PduType::kCapsuleResp, 0, kCapsuleRespBytes, 0,
               kCapsuleRespBytes + (digests.header ? kDigestBytes : 0));
  std::ranges::copy(completion, to + kCommonBytes);
  return seal(to, kCapsuleRespBytes, digests);
}

std::size_t store_data(std::uint8_t* to, PduType type, const DataHeader& data, std::uint8_t flags,
                       Digests digests, std::uint8_t alignment) {
  std::memset(to, 0, kDataHeaderBytes);
  store_data_common(to, type, flags, kDataHeaderBytes, data.length, digests, alignment);
  store_le(to + 8, data.command);
  store_le(to + 10, data.tag);
  store_le(to + 12, data.offset);
  store_le(to + 16, data.length);
  const std::size_t size = seal(to, kDataHeaderBytes, digests);
  return data.length == 0 ? size : data_offset(kDataHeaderBytes, digests, alignment);
}

std::size_t store_r2t(std::uint8_t* to, const R2t& r2t, Digests digests) {
  std::memset(to, 0, kDataHeaderBytes);
  store_common(to, PduType::kR2t, 0, kDataHeaderBytes, 0,
               kDataHeaderBytes + (digests.header ? kDigestBytes : 0));
  store_le(to + 8, r2t.command);
  store_le(to + 10, r2t.tag);
  store_le(to + 12, r2t.offset);
  store_le(to + 16, r2t.length);
  return seal(to, kDataHeaderBytes, digests);
}

}  // namespace capstan::storage::nvme
