// Why this file exists: see reservation_codec.h. The file is a JSON object of a known shape; the
// reader takes JSON of that shape only, with members in any order.
#include "storage/nvme/reservation_codec.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "storage/nvme/limits.h"

namespace capstan::storage::nvme {

namespace {

constexpr std::uint32_t kIgnoreKey = 1U << 3;
constexpr unsigned kDepthMax = 8;

// Just enough JSON: objects, arrays, strings without escapes, unsigned numbers, true, false, null.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  bool take(char wanted) {
    skip_space();
    if (rest_.empty() || rest_.front() != wanted) return false;
    rest_.remove_prefix(1);
    return true;
  }
  std::optional<std::string_view> string() {
    if (!take('"')) return std::nullopt;
    const auto end = rest_.find('"');
    if (end == std::string_view::npos) return std::nullopt;
    const auto value = rest_.substr(0, end);
    if (value.contains('\\')) return std::nullopt;
    rest_.remove_prefix(end + 1);
    return value;
  }
  std::optional<std::uint64_t> number() {
    skip_space();
    std::uint64_t value = 0;
    const auto [end, failure] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (failure != std::errc()) return std::nullopt;
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    return value;
  }
  std::optional<bool> boolean() {
    if (word("true")) return true;
    if (word("false")) return false;
    return std::nullopt;
  }
  bool at_end() {
    skip_space();
    return rest_.empty();
  }
  // Calls `member(name)` for each member of an object; false when one was not understood.
  template <class Member>
  bool object(Member member) {
    if (!take('{')) return false;
    if (take('}')) return true;
    do {
      const auto name = string();
      if (!name || !take(':') || !member(*name)) return false;
    } while (take(','));
    return take('}');
  }
  template <class Element>
  bool array(Element element) {
    if (!take('[')) return false;
    if (take(']')) return true;
    do {
      if (!element()) return false;
    } while (take(','));
    return take(']');
  }
  bool skip(unsigned depth = 0) {
    if (depth > kDepthMax) return false;
    skip_space();
    if (rest_.starts_with('{')) {
      return object([&](std::string_view) { return skip(depth + 1); });
    }
    if (rest_.starts_with('[')) {
      return array([&] { return skip(depth + 1); });
    }
    if (rest_.starts_with('"')) return string().has_value();
    return boolean() || word("null") || number();
  }

 private:
  void skip_space() {
    const auto begin = rest_.find_first_not_of(" \t\r\n");
    rest_.remove_prefix(std::min(begin, rest_.size()));
  }
  bool word(std::string_view wanted) {
    skip_space();
    if (!rest_.starts_with(wanted)) return false;
    rest_.remove_prefix(wanted.size());
    return true;
  }
  std::string_view rest_;
};

template <class T>
bool keep(const std::optional<T>& from, T& to) {
  if (from) to = *from;
  return from.has_value();
}

bool keep_uuid(const std::optional<std::string_view>& text, Uuid& to) {
  return text && keep(Uuid::parse(*text), to);
}

struct FileContent {
  bool persistent = false;
  std::uint64_t type = 0, holder_key = 0;
  Uuid device, holder;
  std::vector<Reservations::Registrant> registrants;
};

bool read_registrant(Reader& reader, FileContent& into) {
  Reservations::Registrant registrant;
  Uuid host;
  const bool read = reader.object([&](std::string_view name) {
    if (name == "rkey") return keep(reader.number(), registrant.key);
    if (name == "host_uuid") return keep_uuid(reader.string(), host);
    return reader.skip();
  });
  registrant.host = host.bytes;
  into.registrants.push_back(registrant);
  return read && into.registrants.size() <= limits::kRegistrants;
}

bool read_file(Reader& reader, FileContent& into) {
  return reader.object([&](std::string_view name) {
    if (name == "ptpl") return keep(reader.boolean(), into.persistent);
    if (name == "rtype") return keep(reader.number(), into.type);
    if (name == "crkey") return keep(reader.number(), into.holder_key);
    if (name == "bdev_uuid") return keep_uuid(reader.string(), into.device);
    if (name == "holder_uuid") return keep_uuid(reader.string(), into.holder);
    if (name != "registrants") return reader.skip();
    return reader.array([&] { return read_registrant(reader, into); });
  });
}

std::unexpected<Error> damaged(const char* why) {
  return fail(Code::kInvalidArgument, std::string("not the file of a reservation: ") + why +
                                          "; when it is not needed any more, remove it");
}

bool all_different(const std::vector<Reservations::Registrant>& registrants) {
  for (std::size_t i = 0; i < registrants.size(); ++i) {
    if (registrants[i].key == 0) return false;
    for (std::size_t j = 0; j < i; ++j) {
      if (registrants[i].host == registrants[j].host) return false;
    }
  }
  return true;
}

}  // namespace

// --- commands ------------------------------------------------------------------------------------

std::uint32_t reservation_data_bytes(std::uint8_t opcode) {
  switch (opcode) {
    case opcode::kReservationRegister:
    case opcode::kReservationAcquire: return kReservationKeysBytes;
    case opcode::kReservationRelease: return kReservationReleaseBytes;
    default: return 0;
  }
}

ReservationCommand load_reservation(const Command& command, ByteView data) {
  const std::uint32_t dword = command.dword(10);
  ReservationCommand out;
  out.action = dword & 7;
  out.ignore_key = (dword & kIgnoreKey) != 0;
  out.key = load_le<std::uint64_t>(data.data());
  if (command.opcode() == opcode::kReservationRegister) {
    out.persist = static_cast<std::uint8_t>(dword >> 30);
  } else {
    out.type = static_cast<std::uint8_t>(dword >> 8);
  }
  if (data.size() >= kReservationKeysBytes) out.new_key = load_le<std::uint64_t>(data.data() + 8);
  return out;
}

std::vector<std::uint8_t> store_reservation(Command& command, const ReservationCommand& values) {
  std::uint32_t dword = (values.action & 7U) | (values.ignore_key ? kIgnoreKey : 0);
  if (command.opcode() == opcode::kReservationRegister) {
    dword |= static_cast<std::uint32_t>(values.persist) << 30;
  } else {
    dword |= static_cast<std::uint32_t>(values.type) << 8;
  }
  command.set(40, dword);
  std::vector<std::uint8_t> data(reservation_data_bytes(command.opcode()));
  store_le(data.data(), values.key);
  if (data.size() >= kReservationKeysBytes) store_le(data.data() + 8, values.new_key);
  return data;
}

std::vector<std::uint8_t> store_reservation_status(const Reservations& state,
                                                   std::span<const std::uint16_t> controllers) {
  std::vector<std::uint8_t> out(kReservationStatusBytes * (1 + state.registrants.size()));
  store_le(out.data(), state.generation);
  out[4] = static_cast<std::uint8_t>(state.type);
  store_le(out.data() + 5, static_cast<std::uint16_t>(state.registrants.size()));
  out[9] = state.persistent ? 1 : 0;
  std::uint8_t* at = out.data() + kReservationStatusBytes;
  for (std::size_t i = 0; i < state.registrants.size(); ++i) {
    const auto& registrant = state.registrants[i];
    store_le(at, i < controllers.size() ? controllers[i] : kAnyController);
    at[2] = state.holds(registrant.host) ? 1 : 0;
    store_le(at + 8, registrant.key);
    std::ranges::copy(registrant.host, at + 16);
    at += kReservationStatusBytes;
  }
  return out;
}

Result<Reservations> load_reservation_status(ByteView bytes) {
  const auto short_one = [] {
    return fail(Code::kInvalidArgument, "a reservation report shorter than what it announces");
  };
  if (bytes.size() < kReservationStatusBytes) return short_one();
  Reservations out;
  out.generation = load_le<std::uint32_t>(bytes.data());
  const std::uint8_t type = bytes[4];
  const std::size_t count = load_le<std::uint16_t>(bytes.data() + 5);
  out.persistent = bytes[9] != 0;
  if (bytes.size() / kReservationStatusBytes < count + 1) return short_one();
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t* at = bytes.data() + kReservationStatusBytes * (i + 1);
    Reservations::Registrant registrant;
    registrant.key = load_le<std::uint64_t>(at + 8);
    std::copy_n(at + 16, registrant.host.size(), registrant.host.begin());
    // The first that holds it stands for the others of the "all registrants" types.
    if ((at[2] & 1) != 0 && !out.held() && type <= 6) {
      out.type = static_cast<ReservationType>(type);
      out.holder = registrant.host;
    }
    out.registrants.push_back(registrant);
  }
  return out;
}

std::vector<std::uint8_t> store_notification(const ReservationNotification& notification) {
  std::vector<std::uint8_t> out(kReservationNoticeBytes);
  store_le(out.data(), notification.count);
  if (notification.count == 0) return out;
  out[8] = static_cast<std::uint8_t>(notification.notice);
  out[9] = notification.more;
  store_le(out.data() + 12, notification.nsid);
  return out;
}

ReservationNotification load_notification(const std::uint8_t* from) {
  return {load_le<std::uint64_t>(from), static_cast<ReservationNotice>(from[8]), from[9],
          load_le<std::uint32_t>(from + 12)};
}

// --- the file ------------------------------------------------------------------------------------

std::string store_reservation_file(const Reservations& state, const Uuid& device) {
  const auto* holder = state.held() ? state.find(state.holder) : nullptr;
  const auto text = [](const HostId& host) { return Uuid{host}.text(); };
  std::string out = "{\n  \"ptpl\": ";
  out += state.persistent ? "true" : "false";
  out += ",\n  \"rtype\": " + std::to_string(static_cast<unsigned>(state.type));
  out += ",\n  \"crkey\": " + std::to_string(holder ? holder->key : 0);
  out += ",\n  \"bdev_uuid\": \"" + device.text() + "\"";
  out += ",\n  \"holder_uuid\": \"" + text(state.holder) + "\"";
  out += ",\n  \"registrants\": [";
  const char* separator = "\n";
  for (const auto& each : state.registrants) {
    out += separator;
    out += "    {\"rkey\": " + std::to_string(each.key) + ", \"host_uuid\": \"" + text(each.host) +
           "\"}";
    separator = ",\n";
  }
  return out + (state.registrants.empty() ? "]\n}\n" : "\n  ]\n}\n");
}

Result<Reservations> load_reservation_file(std::string_view text, const Uuid& device) {
  Reader reader(text);
  FileContent content;
  if (!read_file(reader, content) || !reader.at_end()) return damaged("it cannot be read");
  if (content.device != device) {
    return fail(Code::kFailedPrecondition, "the file of a reservation is that of device " +
                                               content.device.text() + ", not of " + device.text() +
                                               "; remove it when it is not needed any more");
  }
  Reservations out;
  if (!content.persistent) return out;
  out.persistent = true;
  out.registrants = std::move(content.registrants);
  if (!all_different(out.registrants)) return damaged("a host is in it twice, or has no key");
  if (content.type == 0) return out;
  const auto* holder = out.find(content.holder.bytes);
  if (content.type > 6 || !holder) return damaged("who holds it is not registered");
  out.type = static_cast<ReservationType>(content.type);
  out.holder = content.holder.bytes;
  return out;
}

}  // namespace capstan::storage::nvme
