// Why this file exists: see nvme_codec.h.
#include "storage/nvme/nvme_codec.h"

#include <algorithm>

namespace capstan::storage::nvme {

namespace {

constexpr std::size_t kControllerAt = 16, kSubsystemAt = 256, kHostAt = 512;  // of Connect's data

std::optional<std::string> load_nqn(const std::uint8_t* from) {
  const auto* end = static_cast<const std::uint8_t*>(std::memchr(from, 0, kNqnBytes));
  if (!end) return std::nullopt;
  return std::string(from, end);
}

}  // namespace

std::array<std::uint8_t, kCompletionBytes> store_completion(const Completion& completion) {
  std::array<std::uint8_t, kCompletionBytes> out{};
  store_le(out.data(), completion.dword0);
  store_le(out.data() + 4, completion.dword1);
  store_le(out.data() + 8, completion.queue_head);
  store_le(out.data() + 12, completion.command);
  const Status& status = completion.status;
  store_le(out.data() + 14,
           static_cast<std::uint16_t>((status.do_not_retry ? 1U << 15 : 0U) |
                                      (status.retry_delay & 3U) << 12 | (status.type & 7U) << 9 |
                                      static_cast<unsigned>(status.code) << 1));
  return out;
}

Completion load_completion(const std::uint8_t* from) {
  const auto bits = load_le<std::uint16_t>(from + 14);
  return {load_le<std::uint32_t>(from),
          load_le<std::uint32_t>(from + 4),
          load_le<std::uint16_t>(from + 8),
          load_le<std::uint16_t>(from + 12),
          {static_cast<std::uint8_t>(bits >> 9 & 7), static_cast<std::uint8_t>(bits >> 1),
           (bits & 1U << 15) != 0, static_cast<std::uint8_t>(bits >> 12 & 3)}};
}

ConnectCommand load_connect(const Command& command) {
  return {command.get<std::uint16_t>(40), command.get<std::uint16_t>(42),
          command.get<std::uint16_t>(44), command.get<std::uint8_t>(46),
          command.get<std::uint32_t>(48)};
}

void store_connect(Command& command, const ConnectCommand& connect) {
  command.set(40, connect.format);
  command.set(42, connect.queue);
  command.set(44, connect.queue_size);
  command.set(46, connect.attributes);
  command.set(48, connect.keep_alive_ms);
}

ConnectData load_connect_data(const std::uint8_t* from) {
  ConnectData data;
  std::copy_n(from, data.host_id.size(), data.host_id.begin());
  data.controller = load_le<std::uint16_t>(from + kControllerAt);
  data.subsystem = load_nqn(from + kSubsystemAt);
  data.host = load_nqn(from + kHostAt);
  return data;
}

void store_connect_data(std::uint8_t* to, const ConnectData& data) {
  std::memset(to, 0, kConnectDataBytes);
  std::ranges::copy(data.host_id, to);
  store_le(to + kControllerAt, data.controller);
  store_text({to + kSubsystemAt, kNqnBytes}, data.subsystem.value_or(""), '\0');
  store_text({to + kHostAt, kNqnBytes}, data.host.value_or(""), '\0');
}

std::vector<DsmRange> load_dsm_ranges(ByteView bytes) {
  std::vector<DsmRange> ranges;
  ranges.reserve(bytes.size() / kDsmRangeBytes);
  for (; bytes.size() >= kDsmRangeBytes; bytes = bytes.subspan(kDsmRangeBytes)) {
    const std::uint8_t* at = bytes.data();
    ranges.push_back({load_le<std::uint32_t>(at), load_le<std::uint32_t>(at + 4),
                      load_le<std::uint64_t>(at + 8)});
  }
  return ranges;
}

void store_text(MutableBytes field, std::string_view text, char fill) {
  text = text.substr(0, field.size());
  const auto end = std::ranges::copy(text, field.begin()).out;
  std::fill(end, field.end(), static_cast<std::uint8_t>(fill));
}

bool valid_nqn(std::string_view nqn) {
  return nqn.size() <= kNqnBytesMax && nqn.starts_with("nqn.") &&
         std::ranges::all_of(nqn, [](unsigned char c) { return c > 0x20 && c != 0x7F; });
}

}  // namespace capstan::storage::nvme
