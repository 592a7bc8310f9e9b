// Why this file exists: what hosts and files say of reservations under any bytes: what is read has
// a holder that is registered, and reads the same after it was written again.
#include <algorithm>
#include <array>

#include "base/assert.h"
#include "storage/nvme/reservation_codec.h"

namespace {

using namespace capstan;
using namespace capstan::storage::nvme;

void file(std::string_view text) {
  const Uuid device = Uuid::from_name("device");
  const auto read = load_reservation_file(text, device);
  if (!read) return;
  CAPSTAN_ASSERT(!read->held() || read->find(read->holder));
  const auto again = load_reservation_file(store_reservation_file(*read, device), device);
  CAPSTAN_ASSERT(again && *again == *read);
}

void report(ByteView bytes) {
  const auto read = load_reservation_status(bytes);
  if (!read) return;
  CAPSTAN_ASSERT(!read->held() || read->find(read->holder));
  const auto again = load_reservation_status(store_reservation_status(*read, {}));
  CAPSTAN_ASSERT(again && again->registrants == read->registrants);
}

// Whatever commands come, in whatever order, the invariants hold.
void commands(ByteView bytes) {
  constexpr std::size_t kStep = kCommandBytes + kReservationKeysBytes;
  Reservations state;
  for (; bytes.size() >= kStep; bytes = bytes.subspan(kStep)) {
    Command command = Command::load(bytes.data());
    constexpr std::array<std::uint8_t, 3> kCodes = {
        opcode::kReservationRegister, opcode::kReservationAcquire, opcode::kReservationRelease};
    command.set(0, kCodes[command.opcode() % kCodes.size()]);
    const std::size_t size = reservation_data_bytes(command.opcode());
    auto values = load_reservation(command, bytes.subspan(kCommandBytes, size));
    values.key %= 3;  // so that keys meet
    values.new_key %= 3;
    const HostId host = {static_cast<std::uint8_t>(bytes[63] % 3 + 1)};
    switch (command.opcode()) {
      case opcode::kReservationRegister: register_key(state, host, values, true); break;
      case opcode::kReservationAcquire: acquire(state, host, values); break;
      default: release(state, host, values); break;
    }
    CAPSTAN_ASSERT(!state.held() || state.find(state.holder));
    CAPSTAN_ASSERT(state.registrants.size() <= 3);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes(data, size);
  file(as_text(bytes));
  report(bytes);
  commands(bytes);
  if (size < kReservationNoticeBytes) return 0;
  const auto notification = load_notification(data);
  if (notification.count == 0) return 0;
  const auto again = load_notification(store_notification(notification).data());
  CAPSTAN_ASSERT(again.count == notification.count && again.nsid == notification.nsid);
  return 0;
}
