// Why this file exists: see job.h.
#include "apps/capstan_kv/job.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "core/os_file.h"

namespace capstan::apps {

void kv_print(const std::string& line) {
  std::fprintf(stdout, "%s\n", line.c_str());
}

Result<void> kv_printed() {
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return {};
  const int why = errno;
  std::clearerr(stdout);
  return fail(Code::kUnavailable, "the answer could not be written to standard output" +
                                      (why == 0 ? "" : ": " + std::string(std::strerror(why))));
}

std::string kv_json(KvFields fields) {
  std::string out = "{";
  for (const auto& [name, value] : fields) {
    out += std::string(out.size() > 1 ? "," : "") + "\n  \"" + name + "\": " + value;
  }
  return out + "\n}";
}

std::string kv_json_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) {
      out += c;
      continue;
    }
    char code[8];
    std::snprintf(code, sizeof code, "\\u%04x", static_cast<unsigned>(c));
    out += code;
  }
  return out + '"';
}

void kv_report(const KvJob& job, const std::string& sentence, std::uint64_t tail) {
  if (job.call.json) {
    kv_print(kv_json({{"tail_offset", std::to_string(tail)}}));
  } else if (!job.call.quiet) {
    kv_print(sentence);
  }
}

KvProgress::KvProgress(const KvJob& job)
    : shown_(core::stderr_terminal().is_terminal && !job.call.quiet) {}

KvProgress::~KvProgress() {
  if (!last_.empty()) std::fprintf(stderr, "\r%*s\r", static_cast<int>(last_.size()), "");
}

void KvProgress::update(std::uint64_t done, std::uint64_t total) {
  if (!shown_) return;
  const std::string text =
      total != 0 ? std::to_string(done * 100 / total) + " %" : std::to_string(done >> 20) + " MiB";
  if (text == last_) return;
  last_ = text;
  std::fprintf(stderr, "\r%s", text.c_str());
}

}  // namespace capstan::apps
