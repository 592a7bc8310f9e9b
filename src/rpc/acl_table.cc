// Why this file exists: the list of access entries (rpc/acl.h): reading and writing it as JSON,
// addresses in all their spellings, and the default for an address that no entry names.
#include <arpa/inet.h>
#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/bytes.h"
#include "rpc/access_limits.h"
#include "rpc/acl.h"
#include "rpc/json_writer.h"

namespace capstan::rpc {
namespace {

using Value = simdjson::dom::element;

constexpr std::string_view kUnix = "unix:";

std::unexpected<Error> wrong(std::string what) {
  return fail(Code::kInvalidArgument, "access list: " + std::move(what));
}

Result<std::vector<AclMatcher>> read_matchers(const Value& list, const std::string& where) {
  simdjson::dom::array array;
  if (list.get(array) != simdjson::SUCCESS) return wrong(where + " is no list of texts");
  if (array.size() > access_limits::kAclMatchers) {
    return wrong(where + " has more than " + std::to_string(access_limits::kAclMatchers) +
                 " matchers");
  }
  std::vector<AclMatcher> matchers;
  for (const Value item : array) {
    std::string_view text;
    if (item.get(text) != simdjson::SUCCESS) return wrong(where + " has an item that is no text");
    auto matcher = AclMatcher::parse(text);
    if (!matcher) return std::unexpected(std::move(matcher).error().within(where));
    matchers.push_back(*std::move(matcher));
  }
  return matchers;
}

Result<AclEntry> read_entry(const Value& value, std::size_t index) {
  const std::string where = "entry " + std::to_string(index + 1);
  simdjson::dom::object object;
  if (value.get(object) != simdjson::SUCCESS) return wrong(where + " is no object");
  std::optional<std::string_view> address;
  std::optional<AclPolicy> policy;
  for (const auto [key, member] : object) {
    if (key == "address") {
      std::string_view text;
      if (member.get(text) != simdjson::SUCCESS) return wrong(where + ": address is no text");
      address = text;
    } else if (key == "whitelist" || key == "blacklist") {
      if (policy) return wrong(where + " has two lists; keep one of whitelist and blacklist");
      policy.emplace();
      if (key == "whitelist") policy->kind = AclPolicy::Kind::kDenyAll;
      TRY_SET(policy->except, read_matchers(member, where + ", " + std::string(key)));
    } else {
      return wrong(where + " has the member '" + std::string(key) +
                   "'; it takes address and one of whitelist and blacklist");
    }
  }
  if (!address) return wrong(where + " has no address");
  if (!policy) return wrong(where + " has neither whitelist nor blacklist");
  auto made = AclTable::entry_for(*address, *std::move(policy));
  if (!made) return std::unexpected(std::move(made).error().within(where));
  return made;
}

void append_policy(const AclPolicy& policy, std::string& out) {
  out += policy.kind == AclPolicy::Kind::kDenyAll ? "\"whitelist\":[" : "\"blacklist\":[";
  for (const auto& matcher : policy.except) {
    if (out.back() != '[') out += ',';
    append_json_string(matcher.text(), out);
  }
  out += ']';
}

bool same_host(std::string_view a, std::string_view b) {
  if (a == b) return true;
  const auto left = ip_bytes(a), right = ip_bytes(b);
  return left && right && *left == *right;
}

bool same_address(const AclEntry& a, const AclEntry& b) {
  return a.port == b.port && same_host(a.host, b.host);
}

}  // namespace

std::optional<std::array<std::uint8_t, 16>> ip_bytes(std::string_view text) {
  const std::string host(text.substr(0, INET6_ADDRSTRLEN + 1));
  std::array<std::uint8_t, 16> bytes{};
  if (::inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1) return bytes;
  bytes.fill(0);
  bytes[10] = bytes[11] = 0xFF;
  if (::inet_pton(AF_INET, host.c_str(), bytes.data() + 12) == 1) return bytes;
  return std::nullopt;
}

AddressScope scope_of(std::string_view host) {
  const auto bytes = ip_bytes(host);
  if (!bytes) return AddressScope::kGlobal;
  static constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255};
  const auto& b = *bytes;
  if (std::equal(kMapped.begin(), kMapped.end(), b.begin())) {
    const std::uint8_t* ip = &b[12];
    if (ip[0] == 127) return AddressScope::kInterface;
    if (ip[0] == 10 || (ip[0] == 192 && ip[1] == 168)) return AddressScope::kOrganization;
    if (ip[0] == 169 && ip[1] == 254) return AddressScope::kLink;
    if (load_be32(ip) == 0) return AddressScope::kPoint;
    return load_be32(ip) == 0xFFFFFFFF ? AddressScope::kAdmin : AddressScope::kGlobal;
  }
  if (all_zero(ByteView(b).first(15)) && b[15] <= 1) {
    return b[15] == 1 ? AddressScope::kInterface : AddressScope::kPoint;
  }
  if (b[0] == 0xFF && b[1] == 0x01) return AddressScope::kInterface;
  if (b[0] == 0xFF && b[1] == 0x02) return AddressScope::kLink;
  if (b[0] == 0xFE && (b[1] & 0xC0) == 0x80) return AddressScope::kLink;
  return AddressScope::kGlobal;
}

std::string AclEntry::address() const {
  if (!port) return host;
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(*port);
}

Result<AclEntry> AclTable::entry_for(std::string_view address, AclPolicy policy) {
  const auto no_address = [&](std::string_view why) {
    return fail(Code::kInvalidArgument, "'" + std::string(address) +
                                            "' is no listening address: " + std::string(why) +
                                            ". Write ADDR, ADDR:PORT, [IPV6]:PORT or unix:PATH");
  };
  AclEntry entry;
  entry.policy = std::move(policy);
  if (address.starts_with(kUnix)) {
    if (address.size() == kUnix.size()) return no_address("the path is missing");
    entry.host = address;
    return entry;
  }
  std::string_view port;
  bool has_port = false;
  if (address.starts_with('[')) {
    const auto close = address.find(']');
    if (close == std::string_view::npos) return no_address("']' is missing");
    entry.host = address.substr(1, close - 1);
    port = address.substr(close + 1);
    has_port = port.starts_with(':');
    if (!port.empty() && !has_port) return no_address("':' is expected after ']'");
  } else if (std::ranges::count(address, ':') > 1) {  // IPv6 without a port
    entry.host = address;
  } else {
    const auto colon = std::min(address.find(':'), address.size());
    entry.host = address.substr(0, colon);
    port = address.substr(colon);
    has_port = !port.empty();
  }
  if (entry.host.empty()) return no_address("the host is missing");
  if (entry.host.find(':') != std::string::npos && !ip_bytes(entry.host)) {
    return no_address("the host is no IPv6 address");
  }
  if (!has_port) return entry;
  port.remove_prefix(1);
  std::uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size()) {
    return no_address("the port is no number up to 65535");
  }
  entry.port = number;
  return entry;
}

Result<AclTable> AclTable::parse(std::string_view json) {
  if (json.size() > access_limits::kAclFileBytes) {
    return wrong("it has more than " + std::to_string(access_limits::kAclFileBytes) + " bytes");
  }
  simdjson::dom::parser parser;
  Value root;
  if (const auto error = parser.parse(json.data(), json.size()).get(root)) {
    return wrong(std::string("it is no JSON: ") + simdjson::error_message(error));
  }
  for (const char* wrapper : {"rpc", "acl"}) {
    Value inner;
    if (root.is_object() && root.at_key(wrapper).get(inner) == simdjson::SUCCESS) root = inner;
  }
  simdjson::dom::array list;
  if (root.get(list) != simdjson::SUCCESS) {
    return wrong("it is neither a list of entries nor an object with a list 'acl'");
  }
  if (list.size() > access_limits::kAclEntries) {
    return wrong("it has more than " + std::to_string(access_limits::kAclEntries) + " entries");
  }
  AclTable table;
  std::size_t index = 0;
  for (const Value value : list) {
    TRY_SET(AclEntry entry, read_entry(value, index++));
    table.entries_.push_back(std::move(entry));
  }
  return table;
}

std::string AclTable::json() const {
  std::string out = "{\"acl\":[";
  for (const AclEntry& entry : entries_) {
    if (out.back() != '[') out += ',';
    out += "{\"address\":";
    append_json_string(entry.address(), out);
    out += ',';
    append_policy(entry.policy, out);
    out += '}';
  }
  return out + "]}";
}

void AclTable::put(AclEntry entry) {
  const auto same = std::ranges::find_if(
      entries_, [&](const AclEntry& known) { return same_address(known, entry); });
  if (same == entries_.end()) {
    entries_.push_back(std::move(entry));
  } else {
    *same = std::move(entry);
  }
}

bool AclTable::has(const AclEntry& entry) const {
  return std::ranges::any_of(entries_,
                             [&](const AclEntry& known) { return same_address(known, entry); });
}

Result<AclTable> AclTable::resolved(const Resolver& resolver) const {
  AclTable out;
  for (const AclEntry& entry : entries_) {
    if (entry.host.starts_with(kUnix) || ip_bytes(entry.host)) {
      out.entries_.push_back(entry);
      continue;
    }
    auto hosts = resolver(entry.host);
    if (!hosts) {
      return std::unexpected(
          std::move(hosts).error().within("access list, address " + entry.address()));
    }
    for (const std::string& host : *hosts) out.entries_.push_back({host, entry.port, entry.policy});
  }
  return out;
}

const AclPolicy* AclTable::find(std::string_view host, std::uint16_t port) const {
  for (const AclEntry& entry : entries_) {
    if (entry.port && *entry.port != port) continue;
    if (same_host(entry.host, host)) return &entry.policy;
  }
  return nullptr;
}

}  // namespace capstan::rpc
