// Why this file exists: one call of ours: request out, answer in. A prebuffered one collects the
// payload of its answer; a streaming one sends and takes messages as records.
// Thread-safety: one core. Lifetimes: must not outlive its session; destroying an unfinished call
// cancels it.
#pragma once

#include <coroutine>
#include <optional>
#include <string>

#include "rpc/directory.h"
#include "wire/muxio/session.h"

namespace capstan::wire::muxio {

class ClientCall {
 public:
  ClientCall(Session& session, bool records);
  ~ClientCall();
  ClientCall(const ClientCall&) = delete;
  ClientCall& operator=(const ClientCall&) = delete;

  // Streaming calls. send() waits while the connection is full.
  core::Task<Result<void>> send(const rpc::Message& message);
  void finish_sending();
  // False at the end of a successful answer.
  core::Task<Result<bool>> next(rpc::Message& into);
  // The peer is told; what waits ends with kCancelled.
  void cancel(Code reason);

 private:
  friend class Session;
  void receive_status(Status status);
  void receive(ByteView piece);
  void receive_end();
  void fail_with(Error error);
  void wake();
  // For the end of a prebuffered call.
  struct Done {
    ClientCall& call;
    bool await_ready() const noexcept { return call.over(); }
    void await_suspend(std::coroutine_handle<> handle) { call.waiter_ = core::Suspended(handle); }
    void await_resume() const noexcept {}
  };
  Done done() { return {*this}; }
  Result<std::string> take_answer();
  bool over() const { return ended_ || failure_; }
  void leave();

  Session& session_;
  bool records_wanted_;
  std::uint32_t request_ = 0;
  Session::Outbound out_;
  Status status_ = Status::kSuccess;
  bool answered_ = false, ended_ = false, clogging_ = false;
  std::optional<Error> failure_;
  std::string body_;
  RecordDecoder records_;
  core::Suspended waiter_;
  Session::Inbound* inbound_ = nullptr;  // while the answer arrives
};

}  // namespace capstan::wire::muxio
