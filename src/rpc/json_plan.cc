// Why this file exists: see json_plan.h. The binary form is our own process's: generated code
// writes the fields that are set by ascending number, a repeated field in one stretch, and what it
// does not know behind all others.
#include "rpc/json_plan.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"
#include "rpc/json_writer.h"
#include "rpc/json_writer_values.h"

namespace capstan::rpc {

namespace {

using google::protobuf::FieldDescriptor;

constexpr std::size_t kBufferKept = 64U << 10;
constexpr std::size_t kLevelsMax = 32;  // half of what JSON may have

enum class Form : std::uint8_t {
  kOther,  // by reflection
  kBool,
  kInt32,
  kUint32,
  kInt64,
  kUint64,
  kEnum,
  kText,
  kBytes,
  kMessage,
  kTime,  // google.protobuf.Timestamp or Duration
};

enum WireType : std::uint8_t { kVarint = 0, kSized = 2 };

bool is_number(Form form) {
  return form >= Form::kBool && form <= Form::kEnum;
}

bool is_time(const FieldDescriptor& field) {
  using google::protobuf::Descriptor;
  if (field.is_repeated()) return false;
  const auto kind = field.message_type()->well_known_type();
  return kind == Descriptor::WELLKNOWNTYPE_TIMESTAMP || kind == Descriptor::WELLKNOWNTYPE_DURATION;
}

Form form_of(const FieldDescriptor& field) {
  if (field.is_map()) return Form::kOther;
  switch (field.type()) {
    case FieldDescriptor::TYPE_STRING: return Form::kText;
    case FieldDescriptor::TYPE_BYTES: return Form::kBytes;
    case FieldDescriptor::TYPE_MESSAGE: return is_time(field) ? Form::kTime : Form::kMessage;
    default: break;
  }
  if (field.is_repeated() && !field.is_packed()) return Form::kOther;
  switch (field.type()) {
    case FieldDescriptor::TYPE_BOOL: return Form::kBool;
    case FieldDescriptor::TYPE_INT32: return Form::kInt32;
    case FieldDescriptor::TYPE_UINT32: return Form::kUint32;
    case FieldDescriptor::TYPE_INT64: return Form::kInt64;
    case FieldDescriptor::TYPE_UINT64: return Form::kUint64;
    case FieldDescriptor::TYPE_ENUM: return Form::kEnum;
    default: return Form::kOther;
  }
}

}  // namespace

// Bytes from the front of which values are taken.
struct JsonPlans::Span {
  const std::uint8_t* at = nullptr;
  const std::uint8_t* end = nullptr;

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; at != end && shift < 64; shift += 7) {
      const std::uint8_t byte = *at++;
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) break;
    }
    return value;
  }
  Span sized() {
    const std::uint64_t size = varint();
    CAPSTAN_ASSERT(size <= static_cast<std::uint64_t>(end - at));
    at += size;
    return {at - size, at};
  }
  std::string_view text() const {
    return {reinterpret_cast<const char*>(at), static_cast<std::size_t>(end - at)};
  }
};

struct JsonPlans::Step {
  const FieldDescriptor* field = nullptr;
  const Plan* child = nullptr;  // of kMessage
  Form form = Form::kOther;
  bool repeated = false;
  bool wide_text = false;
  std::uint32_t name_at = 0, name_size = 0;  // in Plan::names
  std::uint32_t default_at = 0;              // in Plan::defaults, up to that of the next step
};

struct JsonPlans::Plan {
  std::string names;        // `,"name":` of every field
  std::string defaults;     // `,"name":0` of the fields that are written also when not set
  std::vector<Step> steps;  // in the order of the declaration, and one that says where all end
  std::vector<std::uint16_t> by_number;  // of a field: its step + 1; 0: there is none
  bool reflects = false;                 // some values need the message itself
  std::size_t expected = 0;              // bytes of JSON: what the last message needed
  std::size_t levels = 1;                // objects and arrays inside each other
};

JsonPlans::JsonPlans(const JsonStyle& style) : style_(style) {}
JsonPlans::~JsonPlans() = default;

// --- plans -------------------------------------------------------------------------------------

JsonPlans::Plan* JsonPlans::plan_of(const Message& message) {
  const auto* const type = message.GetDescriptor();
  if (type == last_type_) return last_plan_;
  // Null while the plan is made: a type inside of itself goes by reflection.
  const auto [known, fresh] = plans_.try_emplace(type);
  if (fresh) known->second = made(message);
  last_type_ = type;
  return last_plan_ = known->second.get();
}

std::unique_ptr<JsonPlans::Plan> JsonPlans::made(const Message& message) {
  using google::protobuf::Descriptor;
  const Descriptor& type = *message.GetDescriptor();
  if (type.well_known_type() != Descriptor::WELLKNOWNTYPE_UNSPECIFIED) return nullptr;
  if (type.extension_range_count() != 0) return nullptr;  // written between the fields
  auto plan = std::make_unique<Plan>();
  const std::unique_ptr<Message> empty(message.New());
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (field.number() > kFieldNumbersMax || field.type() == FieldDescriptor::TYPE_GROUP) {
      return nullptr;
    }
    add_step(*empty, field, *plan);
  }
  if (plan->levels > kLevelsMax) return nullptr;
  plan->steps.emplace_back().default_at = static_cast<std::uint32_t>(plan->defaults.size());
  return plan;
}

void JsonPlans::add_step(const Message& empty, const FieldDescriptor& field, Plan& plan) {
  Step step;
  step.field = &field;
  step.form = form_of(field);
  step.repeated = field.is_repeated();
  step.wide_text = style_.wide == JsonStyle::Wide::kText;
  if (step.form == Form::kMessage) {
    auto& types = *empty.GetReflection()->GetMessageFactory();
    step.child = plan_of(*types.GetPrototype(field.message_type()));
    if (!step.child) step.form = Form::kOther;
  }
  if (step.child) {
    plan.levels = std::max(plan.levels, step.child->levels + (step.repeated ? 2 : 1));
    plan.reflects = plan.reflects || step.child->reflects;
  }
  plan.reflects = plan.reflects || step.form == Form::kOther;
  step.name_at = static_cast<std::uint32_t>(plan.names.size());
  plan.names += ',';
  append_json_name(field, style_, plan.names);
  step.name_size = static_cast<std::uint32_t>(plan.names.size() - step.name_at);
  step.default_at = static_cast<std::uint32_t>(plan.defaults.size());
  if (json_shows(empty, field, style_)) {
    plan.defaults.append(plan.names, step.name_at);
    const auto written = write_json_field(empty, field, style_, plan.defaults);
    CAPSTAN_ASSERT(written.has_value());
  }
  const auto number = static_cast<std::size_t>(field.number());
  if (plan.by_number.size() <= number) plan.by_number.resize(number + 1);
  plan.steps.push_back(step);
  plan.by_number[number] = static_cast<std::uint16_t>(plan.steps.size());
}

// --- messages ----------------------------------------------------------------------------------

bool JsonPlans::serialize(const Message& message, std::size_t bytes_max, Span& bytes) {
  const std::size_t size = message.ByteSizeLong();
  if (size > bytes_max) return false;
  if (buffer_.size() < size) buffer_.resize(size);
  auto* const start = reinterpret_cast<std::uint8_t*>(buffer_.data());
  bytes = {start, message.SerializeWithCachedSizesToArray(start)};
  return true;
}

// Where the fields begin, at their tags.
void JsonPlans::locate(Span bytes, const Plan& plan, std::size_t base) {
  while (bytes.at != bytes.end) {
    const std::uint8_t* const place = bytes.at;
    const std::uint64_t tag = bytes.varint();
    const std::uint64_t number = tag >> 3;
    const auto index = number < plan.by_number.size() ? plan.by_number[number] : 0U;
    if (index == 0) return;  // from here on all is unknown
    const Step& step = plan.steps[index - 1];
    const bool varint = is_number(step.form) && !step.repeated;
    if (step.form != Form::kOther && (tag & 7) != (varint ? kVarint : kSized)) return;
    auto& first = places_[base + index - 1];
    if (!first) first = place;
    switch (tag & 7) {
      case kVarint: (void)bytes.varint(); break;
      case kSized: (void)bytes.sized(); break;
      case 1: bytes.at += 8; break;
      case 5: bytes.at += 4; break;
      default: return;
    }
  }
}

Result<void> JsonPlans::object(Span bytes, const Plan& plan, const Message* message,
                               std::size_t depth) {
  const std::size_t count = plan.steps.size() - 1, base = places_.size();
  places_.resize(base + count, nullptr);
  locate(bytes, plan, base);
  const std::size_t start = out_->size();
  std::uint32_t from = 0;  // of the defaults that are not written yet
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t* const place = places_[base + i];
    if (!place) continue;
    const Step& step = plan.steps[i];
    if (step.default_at != from) out_->append(plan.defaults.data() + from, step.default_at - from);
    from = plan.steps[i + 1].default_at;
    out_->append(plan.names.data() + step.name_at, step.name_size);
    TRY(value({place, bytes.end}, step, message, depth + 1));
  }
  if (plan.defaults.size() != from) out_->append(plan.defaults, from);
  places_.resize(base);
  if (out_->size() == start) {
    *out_ += "{}";
  } else {
    (*out_)[start] = '{';  // instead of the first comma
    *out_ += '}';
  }
  return {};
}

Result<void> JsonPlans::value(Span bytes, const Step& step, const Message* message,
                              std::size_t depth) {
  if (step.form == Form::kOther) {
    return write_json_field(*message, *step.field, style_, *out_, depth);
  }
  if (step.repeated) return list(bytes, step, message, depth);
  (void)bytes.varint();  // the tag
  if (step.form == Form::kTime) return time(bytes.sized(), step);
  if (step.form != Form::kMessage) return scalar(bytes, step), Result<void>();
  const Message* inner = nullptr;
  if (step.child->reflects) inner = &message->GetReflection()->GetMessage(*message, step.field);
  return object(bytes.sized(), *step.child, inner, depth);
}

Result<void> JsonPlans::list(Span bytes, const Step& step, const Message* message,
                             std::size_t depth) {
  const Span first = bytes;
  const std::uint64_t tag = bytes.varint();
  bytes = first;
  *out_ += '[';
  if (is_number(step.form)) {  // packed
    bool more = false;
    bytes.varint();
    for (Span packed = bytes.sized(); packed.at != packed.end; scalar(packed, step)) {
      if (std::exchange(more, true)) *out_ += ',';
    }
    *out_ += ']';
    return {};
  }
  for (int index = 0; bytes.at != bytes.end && bytes.varint() == tag; ++index) {
    if (index > 0) *out_ += ',';
    if (step.form != Form::kMessage) {
      scalar(bytes, step);
      continue;
    }
    const Message* inner = nullptr;
    if (step.child->reflects) {
      inner = &message->GetReflection()->GetRepeatedMessage(*message, step.field, index);
    }
    TRY(object(bytes.sized(), *step.child, inner, depth + 1));
  }
  *out_ += ']';
  return {};
}

Result<void> JsonPlans::time(Span bytes, const Step& step) {
  SecondsNanos time;
  while (bytes.at != bytes.end) {
    const std::uint64_t tag = bytes.varint();
    if (tag == (1 << 3 | kVarint)) {
      time.seconds = static_cast<std::int64_t>(bytes.varint());
    } else if (tag == (2 << 3 | kVarint)) {
      time.nanos = static_cast<std::int32_t>(bytes.varint());
    } else {
      break;  // from here on all is unknown
    }
  }
  return internal::append_time_value(*step.field->message_type(), time, *out_);
}

void JsonPlans::scalar(Span& bytes, const Step& step) {
  using namespace internal;
  switch (step.form) {
    case Form::kText: return append_text_value(bytes.sized().text(), style_, *out_);
    case Form::kBytes: return append_bytes_value(bytes.sized().text(), style_, *out_);
    default: break;
  }
  const std::uint64_t number = bytes.varint();
  switch (step.form) {
    case Form::kBool: return append_bool_value(number != 0, *out_);
    case Form::kInt32: return append_integer_value(static_cast<std::int32_t>(number), false, *out_);
    case Form::kUint32:
      return append_integer_value(static_cast<std::uint32_t>(number), false, *out_);
    case Form::kInt64:
      return append_integer_value(static_cast<std::int64_t>(number), step.wide_text, *out_);
    case Form::kUint64: return append_integer_value(number, step.wide_text, *out_);
    case Form::kEnum:
      return append_enum_value(*step.field->enum_type(), static_cast<int>(number), style_, *out_);
    default: CAPSTAN_ASSERT(false);
  }
}

std::size_t JsonPlans::begin(const Plan& plan, std::string& out) {
  out_ = &out;
  out.reserve(out.size() + plan.expected + 1);  // and what ends the answer
  return out.size();
}

Result<void> JsonPlans::end(Plan& plan, std::size_t start, Result<void> written) {
  plan.expected = std::min(out_->size() - start, kBufferKept);
  if (!written) out_->resize(start);
  if (buffer_.size() > kBufferKept) buffer_ = {};
  return written;
}

Result<void> JsonPlans::write(const Message& message, std::string& out) {
  Plan* const plan = plan_of(message);
  Span bytes;
  if (!plan || !serialize(message, kBytesMax, bytes)) return write_json(message, style_, out);
  const std::size_t start = begin(*plan, out);
  places_.clear();
  return end(*plan, start, object(bytes, *plan, &message, 0));
}

Result<bool> JsonPlans::write_small(const Message& message, std::size_t bytes_max,
                                    std::size_t depth, std::string& out) {
  Plan* const plan = plan_of(message);
  Span bytes;
  if (!plan || depth + plan->levels > limits::kJsonNestingDepth) return false;
  if (!serialize(message, bytes_max, bytes)) return false;
  const std::size_t start = begin(*plan, out);
  places_.clear();
  TRY(end(*plan, start, object(bytes, *plan, &message, depth)));
  return true;
}

Result<void> JsonPlans::write_field(const Message& message, const FieldDescriptor& field,
                                    std::string& out) {
  Plan* const plan = plan_of(message);
  const auto index = static_cast<std::size_t>(field.index());
  Span bytes;
  if (!plan || plan->steps[index].form == Form::kOther || !serialize(message, kBytesMax, bytes)) {
    return write_json_field(message, field, style_, out);
  }
  places_.assign(plan->steps.size() - 1, nullptr);
  locate(bytes, *plan, 0);
  bytes.at = places_[index];
  if (!bytes.at) return write_json_field(message, field, style_, out);
  const std::size_t start = begin(*plan, out);
  return end(*plan, start, value(bytes, plan->steps[index], &message, 0));
}

}  // namespace capstan::rpc
