// Why this file exists: lists of devices, pools and replicas are asked for again and again, and
// walking their messages by reflection costs more than everything else in the call. JsonPlans knows
// after the first message of a type what its JSON is made of: names in quotes, the text of every
// default, and how each field stands in the message's binary form, which generated code makes in
// one go. Put together that is byte for byte what write_json() (rpc/json_writer.h) gives.
//
// Left to reflection, field by field: maps, floating point, lists of times, the less usual
// integers, messages of google.protobuf other than times, types that contain themselves, fields
// numbered above kFieldNumbersMax, and messages larger than kBytesMax.
//
// Memory: a plan is about 100 bytes a field, made when a type is first written, kept with its
// owner. Errors are write_json()'s. Thread-safety: one core.
#pragma once

#include <google/protobuf/message.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "rpc/json_style.h"

namespace capstan::rpc {

class JsonPlans {
 public:
  static constexpr int kFieldNumbersMax = 511;
  static constexpr std::size_t kBytesMax = 1U << 20;  // of a message's binary form

  explicit JsonPlans(const JsonStyle& style);
  ~JsonPlans();
  JsonPlans(const JsonPlans&) = delete;
  JsonPlans& operator=(const JsonPlans&) = delete;

  // As write_json() and write_json_field().
  Result<void> write(const google::protobuf::Message& message, std::string& out);
  Result<void> write_field(const google::protobuf::Message& message,
                           const google::protobuf::FieldDescriptor& field, std::string& out);
  // The message as a part of a larger answer, inside of `depth` objects and arrays, when its binary
  // form has at most `bytes_max` bytes. False: nothing is written; without a plan it never is.
  Result<bool> write_small(const google::protobuf::Message& message, std::size_t bytes_max,
                           std::size_t depth, std::string& out);

 private:
  using Message = google::protobuf::Message;
  struct Step;
  struct Plan;
  struct Span;

  // Null: by reflection.
  Plan* plan_of(const Message& message);
  std::unique_ptr<Plan> made(const Message& message);
  void add_step(const Message& empty, const google::protobuf::FieldDescriptor& field, Plan& plan);
  // The message's binary form in buffer_; false when it is larger than that.
  bool serialize(const Message& message, std::size_t bytes_max, Span& bytes);
  // Around the writing of a message; where `out` ended before.
  std::size_t begin(const Plan& plan, std::string& out);
  Result<void> end(Plan& plan, std::size_t start, Result<void> written);
  void locate(Span bytes, const Plan& plan, std::size_t base);
  Result<void> object(Span bytes, const Plan& plan, const Message* message, std::size_t depth);
  Result<void> value(Span bytes, const Step& step, const Message* message, std::size_t depth);
  Result<void> time(Span bytes, const Step& step);
  void scalar(Span& bytes, const Step& step);
  Result<void> list(Span bytes, const Step& step, const Message* message, std::size_t depth);

  JsonStyle style_;
  std::map<const google::protobuf::Descriptor*, std::unique_ptr<Plan>> plans_;
  const google::protobuf::Descriptor* last_type_ = nullptr;  // lists are of one type
  Plan* last_plan_ = nullptr;
  std::string buffer_;
  std::string* out_ = nullptr;               // of the message that is written
  std::vector<const std::uint8_t*> places_;  // of the fields of the open messages; null: not there
};

}  // namespace capstan::rpc
