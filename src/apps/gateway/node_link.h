// Why this file exists: a gateway's connections to its node: what it asks once (version,
// configuration, operations), the stream that feeds the mirror, and the channels on which calls are
// forwarded. It keeps trying for as long as it runs: a node that comes back is found within five
// seconds.
//
// Streams have connections of their own, few each: whoever does not read fills only their own
// window and holds up neither the mirror nor other calls. They go when the streams have gone.
// Source: http-rpc sections 19.3, 19.9 and 20.6.
// Thread-safety: one core. Calls end before close().
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "apps/gateway/mirror.h"
#include "client/channel.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/scope.h"
#include "host.pb.h"
#include "node/node.pb.h"

namespace capstan::gateway {

// What a node says about itself, as of `asked`.
struct NodeFacts {
  node::v1::Version version;
  node::v1::Config config;
  node::v1::DescribeOperationsResponse operations;
  mayastor::v1::MayastorInfoResponse info;
  core::Nanos asked = 0;  // on the reactor's clock
};

class NodeLink {
 public:
  NodeLink(core::Env& env, const core::Log& log, core::Address node);
  ~NodeLink();
  NodeLink(const NodeLink&) = delete;
  NodeLink& operator=(const NodeLink&) = delete;

  // Asks until the node has answered; an error only when `stop` has fired.
  core::Task<Result<void>> bootstrap(core::CancelToken stop);
  // Follows the node until stop_following(). `outdated` is called once it serves other operations
  // than those of bootstrap().
  core::Task<void> run(std::function<void()> outdated);
  void stop_following() { closing_.fire(); }
  core::Task<void> close();

  const NodeFacts& facts() const { return facts_; }
  Mirror& mirror() { return mirror_; }
  // "disconnected", "syncing", or empty when the mirror may be shown.
  std::string missing() const;

  client::Channel& calls() { return calls_; }
  // One of the channels for streams, until the lease goes.
  class Lease;
  Lease stream_channel();
  std::size_t stream_connections() const { return streams_.size(); }
  void publish(core::Metrics& metrics);

 private:
  struct StreamChannel {
    StreamChannel(NodeLink& link, core::Env& env, const client::ChannelOptions& options)
        : channel(env, options), idle([this, &link] { link.close_idle(*this); }) {}
    void begin_stream();
    void end_stream();
    client::Channel channel;
    std::size_t streams = 0;
    core::Timer idle;  // since the last stream went
  };
  void close_idle(StreamChannel& channel);
  static core::Task<void> close_channel(std::unique_ptr<StreamChannel> channel);
  core::Task<Result<NodeFacts>> ask();
  // The facts of the node as it runs now, which may be another one than before.
  core::Task<Result<void>> renew(const std::function<void()>* outdated);
  core::Task<Result<void>> follow(const std::function<void()>* outdated);
  core::Task<Result<void>> take_changes();
  void report_sync();

  core::Env& env_;
  core::Log log_;
  const client::ChannelOptions options_;
  client::Channel calls_, feed_;
  std::vector<std::unique_ptr<StreamChannel>> streams_;
  NodeFacts facts_;
  Mirror mirror_;
  core::CancelSource closing_;
  core::Scope scope_;  // channels that close
  core::Nanos backoff_;
  std::uint64_t lost_ = 0, synced_ = 0;
  std::vector<core::Metrics::Handle> handles_;
};

class NodeLink::Lease {
 public:
  explicit Lease(StreamChannel& channel) : channel_(&channel) { channel_->begin_stream(); }
  Lease(Lease&& other) noexcept : channel_(std::exchange(other.channel_, nullptr)) {}
  Lease& operator=(Lease&&) = delete;
  ~Lease() {
    if (channel_) channel_->end_stream();
  }
  client::Channel& channel() const { return channel_->channel; }

 private:
  StreamChannel* channel_;
};

}  // namespace capstan::gateway
