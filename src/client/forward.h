// Why this file exists: a Channel as a service: a call that came in on any wire goes out on a
// channel, and its answers come back. A side that dies ends the other; a stream that broke is never
// passed on as one that ended.
//
// What the node says is passed on as it is: code, message, details, metadata. What happened on the
// way to it is an error of domain "gateway" with one of the reasons below.
// Source: http-rpc sections 19.5 and 19.8.
// Lifetimes: channel and options outlive the handlers. Thread-safety: one core.
#pragma once

#include <functional>
#include <string_view>

#include "client/channel.h"
#include "rpc/directory.h"

namespace capstan::client {

inline constexpr std::string_view kGatewayDomain = "gateway";
inline constexpr std::string_view kUpstreamRefused = "UPSTREAM_REFUSED";  // nobody answers there
inline constexpr std::string_view kUpstreamClosed = "UPSTREAM_CLOSED";    // left during the call
inline constexpr std::string_view kUpstreamTimeout = "UPSTREAM_TIMEOUT";  // no answer in time

struct ForwardOptions {
  // Until the answer of a complete request begins; 0: no limit. Endless answers have none.
  core::Nanos answer_timeout = 0;
  // Adds to what goes on with a call.
  std::function<void(const rpc::Call& call, MetadataList& metadata)> add_metadata;
  // Told of every error that is not the node's.
  std::function<void(const rpc::Call& call, std::string_view reason, const Error& error)>
      on_trouble;
};

// For every kind of operation.
rpc::Handler forward_handler(Channel& channel, const ForwardOptions& options);
// The same for unary operations, with less to do.
rpc::Handler forward_unary_handler(Channel& channel, const ForwardOptions& options);

// The calls themselves, for handlers that choose their channel for each call.
core::Task<Result<void>> forward(Channel& channel, const ForwardOptions& options, rpc::Call& call,
                                 rpc::MessageSource& source, rpc::MessageSink& sink);
core::Task<Result<void>> forward_unary(Channel& channel, const ForwardOptions& options,
                                       rpc::Call& call, const Message& request, Message& response);

}  // namespace capstan::client
