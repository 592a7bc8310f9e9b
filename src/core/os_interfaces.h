// Why this file exists: the IPv4 addresses of this machine's network interfaces, for programs that
// are told to serve "on eth1" and not under an address. Asked once at start: it is one short system
// call, but not one of the ring's.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace capstan::core {

struct InterfaceAddress {
  std::string name;  // "eth0"
  std::string mac;   // "02:42:ac:11:00:02", lower case; empty when it has none
  std::string ipv4;  // "10.1.0.2"
};

// One per address: an interface with two of them is there twice.
Result<std::vector<InterfaceAddress>> ipv4_addresses();

}  // namespace capstan::core
