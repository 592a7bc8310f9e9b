// Why this file exists: see quiet_protobuf.h.
#include "rpc/quiet_protobuf.h"

#include <google/protobuf/stubs/logging.h>

#include <cstdio>
#include <string>

namespace capstan::rpc {
namespace {

void print_fatal(google::protobuf::LogLevel level, const char* file, int line,
                 const std::string& message) {
  if (level < google::protobuf::LOGLEVEL_FATAL) return;
  std::fprintf(stderr, "protobuf: %s:%d: %s\n", file, line, message.c_str());
}

}  // namespace

void quiet_protobuf() {
  google::protobuf::SetLogHandler(&print_fatal);
}

}  // namespace capstan::rpc
