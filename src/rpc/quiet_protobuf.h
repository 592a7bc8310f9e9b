// Why this file exists: protobuf prints to standard error by itself when a message is malformed
// (text that is not UTF-8, say), which any client can make happen. The error of the call says it
// already, and lines of another form do not belong into a log. Called once, first thing in main().
#pragma once

namespace capstan::rpc {

// From now on protobuf prints only what it aborts for.
void quiet_protobuf();

}  // namespace capstan::rpc
