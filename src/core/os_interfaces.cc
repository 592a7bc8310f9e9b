// Why this file exists: see os_interfaces.h.
#include "core/os_interfaces.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>

namespace capstan::core {
namespace {

std::string mac_text(const sockaddr_ll& link) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (unsigned i = 0; i < link.sll_halen && i < sizeof link.sll_addr; ++i) {
    if (i != 0) out += ':';
    out += kDigits[link.sll_addr[i] >> 4];
    out += kDigits[link.sll_addr[i] & 15];
  }
  return out;
}

}  // namespace

Result<std::vector<InterfaceAddress>> ipv4_addresses() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) {
    return fail(Code::kUnavailable, std::string("list network interfaces: ") + std::strerror(errno),
                errno);
  }
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, &::freeifaddrs);
  std::map<std::string, std::string> macs;
  std::vector<InterfaceAddress> out;
  for (const ifaddrs* each = list; each; each = each->ifa_next) {
    if (!each->ifa_addr) continue;
    if (each->ifa_addr->sa_family == AF_PACKET) {
      sockaddr_ll link{};
      std::memcpy(&link, each->ifa_addr, sizeof link);
      macs[each->ifa_name] = mac_text(link);
    } else if (each->ifa_addr->sa_family == AF_INET && (each->ifa_flags & IFF_UP) != 0) {
      sockaddr_in address{};
      std::memcpy(&address, each->ifa_addr, sizeof address);
      std::array<char, INET_ADDRSTRLEN> text{};
      ::inet_ntop(AF_INET, &address.sin_addr, text.data(), text.size());
      out.push_back({each->ifa_name, "", text.data()});
    }
  }
  for (auto& each : out) each.mac = macs[each.name];
  return out;
}

}  // namespace capstan::core
