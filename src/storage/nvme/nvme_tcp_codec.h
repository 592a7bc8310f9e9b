// Why this file exists: the PDUs of NVMe/TCP as bytes: headers of all nine types in both
// directions, their checks, and the digests. Bytes in, values out; no I/O. Byte tables are in
// PROTOCOL.md, the source is nvme-tcp section 2, the checks are those of its section 3.1.
//
// A PDU is received in three steps: the eight common bytes (check_common answers how many header
// bytes follow), the rest of the header (check_header_digest, then load_*), and the data.
// Errors are what a C2HTermReq or H2CTermReq says: they end the connection.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <string_view>

#include "base/bytes.h"

namespace capstan::storage::nvme {

enum class PduType : std::uint8_t {
  kIcReq = 0x00,
  kIcResp = 0x01,
  kH2cTermReq = 0x02,
  kC2hTermReq = 0x03,
  kCapsuleCmd = 0x04,
  kCapsuleResp = 0x05,
  kH2cData = 0x06,
  kC2hData = 0x07,
  kR2t = 0x09,
};

inline constexpr std::size_t kCommonBytes = 8;
inline constexpr std::size_t kIcBytes = 128;  // ICReq and ICResp
inline constexpr std::size_t kTermReqBytes = 24;
inline constexpr std::size_t kTermReqCopyBytes = 128;  // of the PDU in error, at most
inline constexpr std::size_t kCapsuleCmdBytes = 72;
inline constexpr std::size_t kCapsuleRespBytes = 24;
inline constexpr std::size_t kDataHeaderBytes = 24;  // H2CData, C2HData, R2T
inline constexpr std::size_t kDigestBytes = 4;
inline constexpr std::size_t kHeaderBytesMax = 128;
inline constexpr std::uint8_t kHpdaMax = 31;

namespace pdu_flag {
inline constexpr std::uint8_t kHeaderDigest = 1, kDataDigest = 2, kLast = 4, kSuccess = 8;
}

// What ends a connection: FES and FEI of a TermReq.
enum class FatalStatus : std::uint16_t {
  kInvalidHeader = 1,
  kSequence = 2,
  kHeaderDigest = 3,
  kOutOfRange = 4,
  kLimitExceeded = 5,
  kUnsupported = 6,
};
std::string_view fatal_name(FatalStatus status);
struct Fatal {
  FatalStatus status = FatalStatus::kSequence;
  std::uint32_t information = 0;
  bool operator==(const Fatal&) const = default;
};
template <class T>
using Checked = std::expected<T, Fatal>;

// What both sides agreed on in ICReq and ICResp.
struct Digests {
  bool header = false, data = false;
  bool operator==(const Digests&) const = default;
};

struct CommonHeader {
  PduType type{};
  std::uint8_t flags = 0, header_bytes = 0, data_offset = 0;
  std::uint32_t total_bytes = 0;
};
CommonHeader load_common(const std::uint8_t* from);

enum class Receiver : std::uint8_t { kTarget, kHost };
// The checks that need only the common bytes. Answers how many bytes the header has in all, with
// its digest. `initialised`: ICReq (for a host: ICResp) has been received.
Checked<std::size_t> check_common(const CommonHeader& common, Receiver receiver, bool initialised,
                                  Digests digests);
// `header` with its digest behind it, as many bytes as check_common() said.
Checked<void> check_header_digest(const CommonHeader& common, ByteView header, Digests digests);
// Bytes of data that follow the header, after checking where they begin. 0: none.
Checked<std::uint32_t> check_data(const CommonHeader& common, std::size_t header_bytes,
                                  Digests digests);

struct IcReq {
  std::uint16_t version = 0;
  std::uint8_t host_alignment = 0;  // HPDA: data begins at multiples of (HPDA+1)*4
  Digests digests;
  std::uint32_t max_r2t = 0;  // zero-based
};
struct IcResp {
  std::uint16_t version = 0;
  std::uint8_t controller_alignment = 0;  // CPDA
  Digests digests;
  std::uint32_t max_data_bytes = 0;  // MAXH2CDATA
};
struct TermReq {
  Fatal fatal;
};
struct DataHeader {  // H2CData and C2HData
  std::uint16_t command = 0;
  std::uint16_t tag = 0;  // H2CData only
  std::uint32_t offset = 0, length = 0;
};
struct R2t {
  std::uint16_t command = 0, tag = 0;
  std::uint32_t offset = 0, length = 0;
};

// Version and alignment are checked; what an ICReq has beyond them is ignored.
Checked<IcReq> load_ic_req(const std::uint8_t* header);
// A host's checks: version, alignment, and a limit that is a multiple of 4 from 4096 on.
Checked<IcResp> load_ic_resp(const std::uint8_t* header);
TermReq load_term_req(const std::uint8_t* header);
DataHeader load_data(const std::uint8_t* header);
R2t load_r2t(const std::uint8_t* header);

// Where data begins after a header of `header_bytes`, in a PDU with `alignment` (HPDA or CPDA).
std::uint32_t data_offset(std::size_t header_bytes, Digests digests, std::uint8_t alignment);

// All of these write zeros into what is reserved. Those with digests answer the size of the header
// with its digest; padding up to `data_offset` is zeroed too when `data_bytes` is not 0.
void store_ic_req(std::uint8_t* to, const IcReq& request);     // kIcBytes
void store_ic_resp(std::uint8_t* to, const IcResp& response);  // kIcBytes
// Answers the size: kTermReqBytes and what is kept of the header in error.
std::size_t store_term_req(std::uint8_t* to, PduType type, Fatal fatal, ByteView header);
// `command`: 64 bytes. The data digest, if any, is counted in the PDU's length.
std::size_t store_capsule_cmd(std::uint8_t* to, ByteView command, std::uint32_t data_bytes,
                              Digests digests, std::uint8_t alignment);
std::size_t store_capsule_resp(std::uint8_t* to, ByteView completion, Digests digests);
std::size_t store_data(std::uint8_t* to, PduType type, const DataHeader& data, std::uint8_t flags,
                       Digests digests, std::uint8_t alignment);
std::size_t store_r2t(std::uint8_t* to, const R2t& r2t, Digests digests);

}  // namespace capstan::storage::nvme
