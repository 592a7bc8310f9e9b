// Why this file exists: see http_wire.h.
#include "apps/serving/http_wire.h"

#include <utility>

#include "capstan_version.h"
#include "wire/rest/http2_guest.h"

namespace capstan::apps {

using wire::rest::MetricsAt;

namespace {

// The two adapters do not know each other; this is where they meet.
class Http2Requests final : public wire::Guest {
 public:
  Http2Requests(wire::Http2Session& http2, const core::PeerInfo& peer, std::function<void()> wake,
                wire::rest::Pipeline& pipeline)
      : guest_(*core::Reactor::current(), http2, peer, std::move(wake), pipeline) {}
  void on_headers(wire::Http2Stream& stream, wire::HeadersKind kind, wire::Headers headers,
                  bool too_large) override {
    guest_.on_headers(stream, kind, headers, too_large);
  }
  void on_data(wire::Http2Stream& stream, ByteView data) override { guest_.on_data(stream, data); }
  void on_end(wire::Http2Stream& stream) override { guest_.on_end(stream); }
  void on_closed(wire::Http2Stream& stream, wire::Http2Error error) override {
    guest_.on_closed(stream, error);
  }
  void on_sent(wire::Http2Stream& stream) override { guest_.on_sent(stream); }
  void drain() override { guest_.drain(); }
  void abort() override { guest_.abort(); }
  core::Task<void> join() override { return guest_.join(); }
  std::size_t calls_in_flight() const override { return guest_.calls_in_flight(); }

 private:
  wire::rest::Http2Guest guest_;
};

}  // namespace

wire::GuestFactory HttpWire::guest() {
  return [pipeline = &server_->pipeline()](wire::Http2Session& http2, const core::PeerInfo& peer,
                                           std::function<void()> wake) {
    return std::make_unique<Http2Requests>(http2, peer, std::move(wake), *pipeline);
  };
}

Result<std::unique_ptr<HttpWire>> HttpWire::create(const rpc::Directory& directory,
                                                   const core::Log& log, const HttpConfig& config,
                                                   Gate& gate, About about) {
  std::unique_ptr<HttpWire> made(new HttpWire(config));
  wire::rest::ServerOptions options;
  options.connections = config.connections;
  options.session = config.session;
  options.pipeline.cors = config.cors;
  options.pipeline.media = config.media;
  options.pipeline.body_bytes = config.body_bytes;
  options.pipeline.acl = &gate.acl();
  options.pipeline.acl_late = config.acl_late;
  options.pipeline.cache_headers = config.cache_headers;
  options.pipeline.authenticate = [&gate](const core::PeerInfo& peer, std::string_view header) {
    return gate.authenticate(peer, header);
  };
  options.pipeline.refused = &gate.refused();
  options.pipeline.metrics_at = [wire = made.get()](const core::PeerInfo& peer) {
    return wire->metrics_at(peer);
  };
  TRY_SET(made->server_, wire::rest::Server::create(directory, log, std::move(options)));
  wire::rest::Documents::Options documents;
  documents.title = std::move(about.title);
  documents.missing = std::move(about.missing);
  documents.version = CAPSTAN_RELEASE;
  documents.access = directory.find("capstan.node.v1.NodeRpc/DescribeOperations");
  if (documents.access) gate.acl().set_documents(&documents.access->operation);
  TRY_SET(made->documents_, wire::rest::Documents::add_to(*made->server_, std::move(documents)));
  return made;
}

void HttpWire::listening(const core::Address& address, bool http_only) {
  if (http_only && config_.metrics_everywhere) metrics_too_.insert(address.text());
}

MetricsAt HttpWire::metrics_at(const core::PeerInfo& peer) const {
  if (metrics_only_.contains(peer.listener)) return MetricsAt::kOnly;
  return metrics_too_.contains(peer.listener) ? MetricsAt::kServed : MetricsAt::kHidden;
}

}  // namespace capstan::apps
