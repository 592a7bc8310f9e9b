// Why this file exists: one call that passed the pipeline's checks: the request from path, query
// and body, the operation through the directory, and its answer in one of the shapes of http-rpc
// sections 4.1, 8 and 9. Streams are pulled: the handler's next element waits until the client's
// connection has taken the one before, and everything ends when the client leaves.
//
// Thread-safety: core 0. One object per request; run() is awaited by its owner.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/cancel.h"
#include "core/scope.h"
#include "core/sync.h"
#include "rpc/announcing.h"
#include "rpc/directory.h"
#include "rpc/element_codec.h"
#include "rpc/error_trace.h"
#include "rpc/json_reader.h"
#include "rpc/media.h"
#include "rpc/shared_message.h"
#include "wire/rest/exchange.h"
#include "wire/rest/refusal.h"
#include "wire/rest/route.h"

namespace capstan::wire::rest {

struct PipelineCounters;
struct PipelineOptions;

// What the checks found out about a request.
struct Resolved {
  const Route* route = nullptr;
  std::vector<std::string> arguments;  // of the path
  rpc::Media request_media = rpc::Media::kJson, response_media = rpc::Media::kJson;
  bool head_only = false;  // HEAD: answered as GET without the body
  // What path, query and `set` give; of the request's type. Made by read_query().
  std::unique_ptr<rpc::Message> parameters;

  Result<void> read_query(const QueryFields& query);
};

// Whether the field that is the answer is not there: nothing is at the path.
bool is_missing(const rpc::HttpBinding& binding, const rpc::Message& response);

// Whether HEAD is answered: for what answers whole.
bool may_answer_head(const Route& route);

// Public are the bases that handlers look for in a MessageSink.
class OperationCall final : private rpc::MessageSource,
                            public rpc::SharedSink,
                            public rpc::Announcing {
 public:
  // `origin`: what Access-Control-Allow-Origin says, empty: nothing.
  OperationCall(const rpc::Directory& directory, const PipelineOptions& options,
                PipelineCounters& counters, Exchange& exchange, Resolved resolved,
                QueryFields query, std::string origin);
  ~OperationCall() override;

  core::Task<void> run();

 private:
  core::Task<Result<bool>> next(rpc::Message& into) override;
  void interrupt() override;
  core::Task<Result<void>> send(const rpc::Message& message) override;
  core::Task<Result<void>> send_shared(std::shared_ptr<const rpc::SharedMessage> message) override;
  void hold_announcement() override { announcement_held_ = true; }
  void release_announcement() override { announcement_released_.set(); }

  Result<void> prepare();
  Result<void> limit_time(std::string_view millis_text);
  void expire();
  bool late() const { return call_.token.reason() == Code::kDeadlineExceeded; }
  Error late_body() const;
  void read_metadata();
  core::Task<void> run_view();
  core::Task<void> run_unary();
  core::Task<void> run_stream();
  core::Task<void> announce();

  // The whole request; what is wrong with it, or nothing with request_ set.
  core::Task<std::optional<Refusal>> read_request();
  core::Task<Result<std::string>> read_body();
  // What the client's deadline interrupts.
  core::Task<Result<ByteView>> read_piece();
  core::Task<void> refuse(Refusal refusal);
  core::Task<void> refuse_late();
  Result<void> decode(std::string_view body, rpc::Message& into);
  core::Task<Result<bool>> next_raw(rpc::Message& into);

  core::Task<void> answer(const rpc::Message& response);
  core::Task<void> answer_pieces(const rpc::Message& response, std::string tag);
  std::string tag_of(const rpc::Message& response) const;
  core::Task<void> answer_error(const Error& error);
  Reply reply(unsigned status) const;
  Reply trace_reply(const Error& error) const;
  void add_objects(rpc::TraceError& error) const;
  Reply v0_error_reply(const Error& error) const;
  Result<Reply> whole_reply(const rpc::Message& response) const;
  Result<std::string> element(const rpc::Message& message) const;
  Result<void> use_media(Reply& document) const;
  std::string location(const rpc::Message& response) const;
  core::Task<Result<void>> put_element(std::string_view bytes);
  core::Task<Result<void>> start_stream();
  core::Task<void> end_stream(Result<void> result);

  const rpc::Directory& directory_;
  const PipelineOptions& options_;
  PipelineCounters& counters_;
  Exchange& exchange_;
  Resolved resolved_;
  const Route& route_;
  QueryFields query_;
  std::string origin_;

  rpc::Call call_;
  // Of a call that ends for other reasons, too, than that the client leaves.
  std::optional<core::CancelSource> cancel_;
  core::Timer deadline_;
  std::optional<core::CancelCallback> on_stop_;
  bool stopped_ = false;  // by the server, which ends endless answers regularly
  std::size_t held_bytes_ = 0;
  std::optional<rpc::JsonReader> reader_;  // once there is a body
  std::size_t answered_bytes_ = SIZE_MAX;  // of a whole answer that was made

  std::unique_ptr<rpc::Message> request_, response_;
  bool request_taken_ = false, first_taken_ = false, body_ended_ = false;
  std::optional<rpc::ElementSplitter> elements_;

  core::Mutex writing_;  // the announcement and the handler's first element
  bool started_ = false, done_ = false;
  bool announcement_held_ = false;
  core::Event announcement_released_;
};

}  // namespace capstan::wire::rest
