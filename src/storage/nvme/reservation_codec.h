// Why this file exists: reservations as bytes: the data of the four commands, the notification log
// page, and the text of the file that keeps a reservation through power loss (PROTOCOL.md, "The
// file of a reservation"). Bytes in, values out; no I/O. Source: nvme-tcp sections 15.1 to 15.7.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/uuid.h"
#include "storage/nvme/reservations.h"

namespace capstan::storage::nvme {

inline constexpr std::size_t kReservationKeysBytes = 16;    // of Register and Acquire
inline constexpr std::size_t kReservationReleaseBytes = 8;  // of Release
inline constexpr std::size_t kReservationStatusBytes = 64;  // header, and each entry, of Report
inline constexpr std::size_t kReservationNoticeBytes = 64;

// Bytes of data that the command brings along; 0 for every other opcode.
std::uint32_t reservation_data_bytes(std::uint8_t opcode);
// `data` has as many as reservation_data_bytes() says.
ReservationCommand load_reservation(const Command& command, ByteView data);
// The other way round: dword 10 of the entry, and the data, which is answered.
std::vector<std::uint8_t> store_reservation(Command& command, const ReservationCommand& values);

// The extended status structure; `controllers`: one id for each registrant, in their order.
std::vector<std::uint8_t> store_reservation_status(const Reservations& state,
                                                   std::span<const std::uint16_t> controllers);
// kInvalidArgument when it is shorter than what it announces. Controllers are left out.
Result<Reservations> load_reservation_status(ByteView bytes);

struct ReservationNotification {
  std::uint64_t count = 0;  // of notifications of this controller so far; 0: there is none
  ReservationNotice notice{};
  std::uint8_t more = 0;  // that can be read after this one
  std::uint32_t nsid = 0;
};
std::vector<std::uint8_t> store_notification(const ReservationNotification& notification);
ReservationNotification load_notification(const std::uint8_t* from);  // kReservationNoticeBytes

// --- the file ---
std::string store_reservation_file(const Reservations& state, const Uuid& device);
// kInvalidArgument: not such a file; kFailedPrecondition: that of another device. Unknown members
// are passed over. What the file of a reservation that does not persist says is forgotten.
Result<Reservations> load_reservation_file(std::string_view text, const Uuid& device);

}  // namespace capstan::storage::nvme
