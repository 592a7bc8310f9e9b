// Why this file exists: a store in memory that keeps the rules which clients of a DataStore can
// see: what may not be written, offsets that grow as the file of a real store would, missing keys.
// Test code, for memory_store.cc and golden_test.cc.
#pragma once

#include <map>
#include <string>

#include "memory_store.pb.h"
#include "rpc/directory.h"

namespace capstan::interop {

using core::Task;
using rpc::Call;

class Store {
 public:
  core::Nanos write_pause = 0;  // before a write takes effect

  Task<Result<TailReply>> write(Call&, const WriteRequest& request) {
    CO_TRY(check(request.value()));
    if (write_pause != 0) CO_TRY(co_await core::sleep_for(write_pause));
    append(request.key(), request.value());
    co_return tail();
  }
  Task<Result<TailReply>> batch_write(Call&, const BatchWriteRequest& request) {
    for (const Entry& entry : request.entries()) CO_TRY(check(entry.value()));
    for (const Entry& entry : request.entries()) append(entry.key(), entry.value());
    co_return tail();
  }
  Task<Result<ReadReply>> read(Call&, const KeyRequest& request) {
    ReadReply reply;
    if (const auto* value = find(request.key())) reply.set_value(*value);
    co_return reply;
  }
  Task<Result<BatchReadReply>> batch_read(Call&, const BatchReadRequest& request) {
    BatchReadReply reply;
    for (const std::string& key : request.keys()) {
      auto* slot = reply.add_values();
      if (const auto* value = find(key)) slot->set_value(*value);
    }
    co_return reply;
  }
  Task<Result<TailReply>> erase(Call&, const KeyRequest& request) {
    if (values_.erase(request.key()) != 0) tail_ += 21;
    co_return tail();
  }
  Task<Result<ExistsReply>> exists(Call&, const KeyRequest& request) {
    ExistsReply reply;
    reply.set_exists(find(request.key()) != nullptr);
    co_return reply;
  }
  Task<Result<LenReply>> len(Call&, const Nothing&) {
    LenReply reply;
    reply.set_entries(values_.size());
    co_return reply;
  }
  Task<Result<IsEmptyReply>> is_empty(Call&, const Nothing&) {
    IsEmptyReply reply;
    reply.set_is_empty(values_.empty());
    co_return reply;
  }
  Task<Result<FileSizeReply>> file_size(Call&, const Nothing&) {
    FileSizeReply reply;
    reply.set_file_size_bytes(tail_);
    co_return reply;
  }

  Result<void> bind(rpc::Directory& directory) {
    const std::string service = "capstan.interop.MemoryStore/";
    TRY(directory.declare(Nothing::descriptor()->file()->FindServiceByName("MemoryStore")));
    TRY(rpc::bind_unary(directory, service + "Write", *this, &Store::write));
    TRY(rpc::bind_unary(directory, service + "BatchWrite", *this, &Store::batch_write));
    TRY(rpc::bind_unary(directory, service + "Read", *this, &Store::read));
    TRY(rpc::bind_unary(directory, service + "BatchRead", *this, &Store::batch_read));
    TRY(rpc::bind_unary(directory, service + "Delete", *this, &Store::erase));
    TRY(rpc::bind_unary(directory, service + "Exists", *this, &Store::exists));
    TRY(rpc::bind_unary(directory, service + "Len", *this, &Store::len));
    TRY(rpc::bind_unary(directory, service + "IsEmpty", *this, &Store::is_empty));
    TRY(rpc::bind_unary(directory, service + "FileSize", *this, &Store::file_size));
    return directory.check_complete();
  }

 private:
  static Result<void> check(const std::string& value) {
    if (value.empty()) return fail(Code::kInvalidArgument, "Payload cannot be empty.");
    if (value == std::string(1, '\0')) {
      return fail(Code::kInvalidArgument, "NULL-byte payloads cannot be written directly.");
    }
    return {};
  }
  void append(const std::string& key, const std::string& value) {
    values_[key] = value;
    tail_ = (tail_ + 63) / 64 * 64 + value.size() + 20;
  }
  const std::string* find(const std::string& key) const {
    const auto position = values_.find(key);
    return position == values_.end() ? nullptr : &position->second;
  }
  TailReply tail() const {
    TailReply reply;
    reply.set_tail_offset(tail_);
    return reply;
  }

  std::map<std::string, std::string> values_;
  std::uint64_t tail_ = 0;
};

}  // namespace capstan::interop
