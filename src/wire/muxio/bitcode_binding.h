// Why this file exists: the DataStore methods speak bitcode to the released clients and protobuf to
// us. A binding says which fields of an operation's messages are the fields of upstream's structs,
// in upstream's order; the shapes (bytes, list of bytes, optional …) are read from the descriptors
// once, when the table of methods is made. Fields that upstream does not know keep their defaults.
// Thread-safety: immutable once made.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "rpc/operation.h"

namespace capstan::wire::muxio {

class BitcodeBinding {
 public:
  // For an operation whose declaration says codec "bitcode". Fails naming the method or the field
  // that does not fit: a mistake in the build.
  static Result<BitcodeBinding> make(const rpc::Operation& operation);

  // "bitcode error", as upstream says it, when the bytes are not the request.
  Result<void> decode_request(ByteView bytes, google::protobuf::Message& into) const;
  // Appends to `out`.
  void encode_response(const google::protobuf::Message& from, std::string& out) const;
  // The client's side.
  void encode_request(const google::protobuf::Message& from, std::string& out) const;
  Result<void> decode_response(ByteView bytes, google::protobuf::Message& into) const;
  // Calls of one connection take effect in order: those that change something alone, the others
  // beside each other.
  bool changes() const { return changes_; }

 private:
  using Field = google::protobuf::FieldDescriptor;
  enum class Shape { kBytes, kNumber, kFlag, kOptional, kList, kEntries, kOptionals };
  struct Column {
    Shape shape;
    const Field* field;
    const Field* key = nullptr;    // kEntries: in the element
    const Field* value = nullptr;  // kEntries, kOptionals: in the element
  };
  using Columns = std::vector<Column>;
  static Result<Columns> columns_of(const google::protobuf::Descriptor& type,
                                    std::string_view fields);
  static Result<Column> column_of(const google::protobuf::Descriptor& type, std::string_view name);
  static void encode(const Columns& columns, const google::protobuf::Message& from,
                     std::string& out);
  static Result<void> decode(const Columns& columns, ByteView bytes,
                             google::protobuf::Message& into);
  Columns request_, response_;
  bool changes_ = false;
};

}  // namespace capstan::wire::muxio
