// Why this file exists: see bitcode_binding.h. The table at the top is muxio-wire section 8.
#include "wire/muxio/bitcode_binding.h"

#include <array>

#include "base/bitcode_codec.h"

namespace capstan::wire::muxio {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Fields in upstream's order, separated by blanks.
struct Row {
  std::string_view name, request, response;
  bool changes = false;
};
constexpr std::array<Row, 9> kMethods = {{
    {"write", "key value", "tail_offset", true},
    {"batch_write", "entries", "tail_offset", true},
    {"read", "key", "value"},
    {"batch_read", "keys", "values"},
    {"delete", "key", "tail_offset", true},
    {"exists", "key", "exists"},
    {"len", "", "entries"},
    {"is_empty", "", "is_empty"},
    {"file_size", "", "file_size_bytes"},
}};

std::unexpected<Error> wrong(std::string_view what) {
  return fail(Code::kInternal, std::string(what) + "; correct api/ or the table of Muxio methods");
}

bool is_bytes(const FieldDescriptor* field) {
  return field && field->type() == FieldDescriptor::TYPE_BYTES && !field->is_repeated();
}

}  // namespace

Result<BitcodeBinding::Column> BitcodeBinding::column_of(const Descriptor& type,
                                                         std::string_view name) {
  const auto* field = type.FindFieldByName(std::string(name));
  if (!field) return wrong(std::string(name) + " is no field of " + type.full_name());
  if (field->is_repeated()) {
    if (field->type() == FieldDescriptor::TYPE_BYTES) return Column{Shape::kList, field};
    if (const auto* element = field->message_type()) {
      const auto* key = element->FindFieldByName("key");
      const auto* value = element->FindFieldByName("value");
      if (is_bytes(value) && is_bytes(key)) return Column{Shape::kEntries, field, key, value};
      if (is_bytes(value) && value->has_presence()) {
        return Column{Shape::kOptionals, field, nullptr, value};
      }
    }
  } else if (field->type() == FieldDescriptor::TYPE_BYTES) {
    return Column{field->has_presence() ? Shape::kOptional : Shape::kBytes, field};
  } else if (field->type() == FieldDescriptor::TYPE_UINT64) {
    return Column{Shape::kNumber, field};
  } else if (field->type() == FieldDescriptor::TYPE_BOOL) {
    return Column{Shape::kFlag, field};
  }
  return wrong("the field " + field->full_name() + " has no form in bitcode");
}

Result<BitcodeBinding::Columns> BitcodeBinding::columns_of(const Descriptor& type,
                                                           std::string_view fields) {
  Columns columns;
  while (!fields.empty()) {
    const auto end = std::min(fields.find(' '), fields.size());
    TRY_SET(const Column column, column_of(type, fields.substr(0, end)));
    columns.push_back(column);
    fields.remove_prefix(std::min(end + 1, fields.size()));
  }
  return columns;
}

Result<BitcodeBinding> BitcodeBinding::make(const rpc::Operation& operation) {
  for (const Row& row : kMethods) {
    if (row.name != operation.muxio_name) continue;
    BitcodeBinding made;
    made.changes_ = row.changes;
    TRY_SET(made.request_, columns_of(*operation.method().input_type(), row.request));
    TRY_SET(made.response_, columns_of(*operation.method().output_type(), row.response));
    return made;
  }
  return wrong("operation " + operation.full_name() + ": '" + operation.muxio_name +
               "' is not one of the methods that have a bitcode form");
}

// --- protobuf to bitcode ------------------------------------------------------------------------

void BitcodeBinding::encode(const Columns& columns, const Message& from, std::string& out) {
  bitcode::Encoder encoder(out);
  const auto& reflection = *from.GetReflection();
  std::string scratch;
  for (const auto& [shape, field, key, value] : columns) {
    const auto bytes = [&](const Message& of, const Field* which) {
      return as_bytes(of.GetReflection()->GetStringReference(of, which, &scratch));
    };
    switch (shape) {
      case Shape::kBytes: encoder.value(bytes(from, field)); break;
      case Shape::kNumber: encoder.value(reflection.GetUInt64(from, field)); break;
      case Shape::kFlag: encoder.value(reflection.GetBool(from, field)); break;
      case Shape::kOptional:
        encoder.optional(reflection.HasField(from, field) ? std::optional(bytes(from, field))
                                                          : std::nullopt);
        break;
      case Shape::kList: {
        std::vector<ByteView> items;
        for (int i = 0; i < reflection.FieldSize(from, field); ++i) {
          items.push_back(
              as_bytes(reflection.GetRepeatedStringReference(from, field, i, &scratch)));
        }
        encoder.list(items);
        break;
      }
      case Shape::kEntries: {
        std::vector<bitcode::Entry> items;
        for (int i = 0; i < reflection.FieldSize(from, field); ++i) {
          const auto& item = reflection.GetRepeatedMessage(from, field, i);
          items.push_back({bytes(item, key), bytes(item, value)});
        }
        encoder.entries(items);
        break;
      }
      case Shape::kOptionals: {
        std::vector<std::optional<ByteView>> items;
        for (int i = 0; i < reflection.FieldSize(from, field); ++i) {
          const auto& item = reflection.GetRepeatedMessage(from, field, i);
          items.push_back(item.GetReflection()->HasField(item, value)
                              ? std::optional(bytes(item, value))
                              : std::nullopt);
        }
        encoder.optionals(items);
        break;
      }
    }
  }
}

// --- bitcode to protobuf ------------------------------------------------------------------------

Result<void> BitcodeBinding::decode(const Columns& columns, ByteView bytes, Message& into) {
  bitcode::Decoder decoder(bytes);
  const auto& reflection = *into.GetReflection();
  const auto set = [](Message& of, const Field* field, ByteView value) {
    of.GetReflection()->SetString(&of, field, std::string(as_text(value)));
  };
  for (const auto& [shape, field, key, value] : columns) {
    switch (shape) {
      case Shape::kBytes: {
        TRY_SET(const ByteView item, decoder.value());
        set(into, field, item);
        break;
      }
      case Shape::kNumber: {
        TRY_SET(const std::uint64_t number, decoder.number());
        reflection.SetUInt64(&into, field, number);
        break;
      }
      case Shape::kFlag: {
        TRY_SET(const bool flag, decoder.flag());
        reflection.SetBool(&into, field, flag);
        break;
      }
      case Shape::kOptional: {
        TRY_SET(const auto item, decoder.optional());
        if (item) set(into, field, *item);
        break;
      }
      case Shape::kList: {
        TRY_SET(const auto items, decoder.list());
        for (const ByteView item : items) {
          reflection.AddString(&into, field, std::string(as_text(item)));
        }
        break;
      }
      case Shape::kEntries: {
        TRY_SET(const auto items, decoder.entries());
        for (const auto& item : items) {
          auto& element = *reflection.AddMessage(&into, field);
          set(element, key, item.key);
          set(element, value, item.value);
        }
        break;
      }
      case Shape::kOptionals: {
        TRY_SET(const auto items, decoder.optionals());
        for (const auto& item : items) {
          auto& element = *reflection.AddMessage(&into, field);
          if (item) set(element, value, *item);
        }
        break;
      }
    }
  }
  return decoder.finish();
}

Result<void> BitcodeBinding::decode_request(ByteView bytes, Message& into) const {
  if (request_.empty()) return {};  // arguments that nobody asks for are not looked at
  auto decoded = decode(request_, bytes, into);
  if (decoded || decoded.error().code == Code::kResourceExhausted) return decoded;
  return fail(Code::kInvalidArgument, "bitcode error");
}

void BitcodeBinding::encode_response(const Message& from, std::string& out) const {
  encode(response_, from, out);
}

void BitcodeBinding::encode_request(const Message& from, std::string& out) const {
  encode(request_, from, out);
}

Result<void> BitcodeBinding::decode_response(ByteView bytes, Message& into) const {
  auto decoded = decode(response_, bytes, into);
  if (!decoded) {
    return fail(Code::kInternal, "the answer is not valid bitcode: " + decoded.error().message);
  }
  return decoded;
}

}  // namespace capstan::wire::muxio
