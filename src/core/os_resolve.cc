#include "core/os_resolve.h"

#include <netdb.h>
#include <sys/socket.h>

#include <array>
#include <memory>

namespace capstan::core {

Result<std::string> resolve_host(const std::string& host) {
  addrinfo wanted{};
  wanted.ai_family = AF_UNSPEC;
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), nullptr, &wanted, &found);
  if (error != 0) {
    return fail(Code::kUnavailable, "find the address of '" + host + "': " + ::gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, &::freeaddrinfo);
  std::array<char, NI_MAXHOST> text{};
  const int named = ::getnameinfo(found->ai_addr, found->ai_addrlen, text.data(), text.size(),
                                  nullptr, 0, NI_NUMERICHOST);
  if (named != 0) {
    return fail(Code::kUnavailable, "show the address of '" + host + "': " + ::gai_strerror(named));
  }
  return std::string(text.data());
}

}  // namespace capstan::core
