// Why this file exists: see os_resolve.h; the only file that asks the system's resolver.
#include "core/os_resolve.h"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <memory>

namespace capstan::core {

Result<std::vector<std::string>> resolve_all(const std::string& host) {
  addrinfo wanted{};
  wanted.ai_family = AF_UNSPEC;
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), nullptr, &wanted, &found);
  if (error != 0) {
    return fail(Code::kUnavailable, "find the address of '" + host + "': " + ::gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, &::freeaddrinfo);
  std::vector<std::string> addresses;
  for (const addrinfo* one = found; one; one = one->ai_next) {
    std::array<char, NI_MAXHOST> text{};
    const int named = ::getnameinfo(one->ai_addr, one->ai_addrlen, text.data(), text.size(),
                                    nullptr, 0, NI_NUMERICHOST);
    if (named != 0) {
      return fail(Code::kUnavailable,
                  "show the address of '" + host + "': " + ::gai_strerror(named));
    }
    if (std::ranges::find(addresses, text.data()) == addresses.end()) {
      addresses.emplace_back(text.data());
    }
  }
  return addresses;
}

}  // namespace capstan::core
