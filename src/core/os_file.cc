// Why this file exists: see os_file.h.
#include "core/os_file.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace capstan::core {

Result<std::string> read_small_file(const std::string& path, std::size_t limit_bytes) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return fail_errno(errno, "open '" + path + "'");
  std::string content;
  std::array<char, 4096> piece;
  int error = 0;
  while (content.size() <= limit_bytes) {
    const ssize_t got = ::read(descriptor, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) error = errno;
    if (got <= 0) break;
    content.append(piece.data(), static_cast<std::size_t>(got));
  }
  ::close(descriptor);
  if (error != 0) return fail_errno(error, "read '" + path + "'");
  if (content.size() > limit_bytes) {
    return fail(Code::kResourceExhausted,
                "'" + path + "' is larger than " + std::to_string(limit_bytes) + " bytes");
  }
  return content;
}

Result<void> make_directories_now(const std::string& path) {
  for (std::size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    const std::string part = path.substr(0, at);
    if (!part.empty() && ::mkdir(part.c_str(), 0700) != 0 && errno != EEXIST) {
      return fail_errno(errno, "create directory '" + part + "'");
    }
    if (at == std::string::npos) break;
  }
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return fail_errno(errno, "look at '" + path + "'");
  if (!S_ISDIR(status.st_mode)) return fail_errno(ENOTDIR, "create directory '" + path + "'");
  return {};
}

namespace {
Terminal terminal_of(int fd) {
  Terminal terminal;
  terminal.is_terminal = ::isatty(fd) == 1;
  struct winsize size{};
  if (terminal.is_terminal && ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    terminal.columns = size.ws_col;
  }
  return terminal;
}
}  // namespace

Terminal stderr_terminal() {
  return terminal_of(STDERR_FILENO);
}
Terminal stdout_terminal() {
  return terminal_of(STDOUT_FILENO);
}

}  // namespace capstan::core
