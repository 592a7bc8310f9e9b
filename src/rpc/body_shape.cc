// Why this file exists: what a declared binding leaves for the body, and what a query may say.
#include "rpc/body_shape.h"

#include <algorithm>

namespace capstan::rpc {

namespace {

namespace pb = google::protobuf;

constexpr std::size_t kQueryDepth = 4;  // of "a.b.c.d"

// Types whose values are one text: wrappers, Timestamp, Duration.
bool text_like(const pb::Descriptor& type) {
  switch (type.well_known_type()) {
    case pb::Descriptor::WELLKNOWNTYPE_UNSPECIFIED:
    case pb::Descriptor::WELLKNOWNTYPE_ANY:
    case pb::Descriptor::WELLKNOWNTYPE_FIELDMASK:
    case pb::Descriptor::WELLKNOWNTYPE_STRUCT:
    case pb::Descriptor::WELLKNOWNTYPE_VALUE:
    case pb::Descriptor::WELLKNOWNTYPE_LISTVALUE: return false;
    default: return true;
  }
}

bool contains(const std::vector<FieldPath>& all, const FieldPath& one) {
  return std::ranges::find(all, one) != all.end();
}

void collect(const pb::Descriptor& type, const std::vector<FieldPath>& taken, FieldPath& at,
             std::vector<FieldPath>& found) {
  for (int i = 0; i < type.field_count(); ++i) {
    const auto& field = *type.field(i);
    at.push_back(&field);
    const auto* inner = field.message_type();
    if (contains(taken, at) || field.is_map()) {
      // The path has it, or a query cannot say it.
    } else if (!inner || text_like(*inner)) {
      found.push_back(at);
    } else if (inner->well_known_type() == pb::Descriptor::WELLKNOWNTYPE_UNSPECIFIED &&
               !field.is_repeated() && at.size() < kQueryDepth) {
      collect(*inner, taken, at, found);
    }
    at.pop_back();
  }
}

// What the path and `set` give.
std::vector<FieldPath> given_by_path(const HttpBinding& binding) {
  std::vector<FieldPath> fields;
  for (const auto& step : binding.steps) {
    if (!step.field.empty()) fields.push_back(step.field);
  }
  for (const auto& fixed : binding.set) fields.push_back(fixed.field);
  return fields;
}

}  // namespace

BodyShape request_shape(const pb::MethodDescriptor& method, const HttpBinding& binding) {
  BodyShape shape = BodyShape::whole(*method.input_type());
  shape.field = binding.body;
  if (!shape.field) {
    shape.hidden = given_by_path(binding);
    shape.hidden.insert(shape.hidden.end(), binding.query.begin(), binding.query.end());
  }
  return shape;
}

BodyShape response_shape(const pb::MethodDescriptor& method, const HttpBinding& binding) {
  BodyShape shape = BodyShape::whole(*method.output_type());
  shape.field = binding.result;
  shape.element = binding.only;
  return shape;
}

std::vector<FieldPath> query_fields(const pb::MethodDescriptor& method,
                                    const HttpBinding& binding) {
  if (binding.has_body()) return binding.query;
  std::vector<FieldPath> found;
  FieldPath at;
  collect(*method.input_type(), given_by_path(binding), at, found);
  return found;
}

std::string query_name(const FieldPath& field) {
  std::string name;
  for (const auto* part : field) {
    if (!name.empty()) name += '.';
    name += part->has_json_name() ? part->json_name() : part->name();
  }
  return name;
}

std::string query_name(const HttpBinding& binding, const FieldPath& field) {
  const auto said = std::ranges::find(binding.query_names, field, &HttpQueryName::field);
  return said == binding.query_names.end() ? query_name(field) : said->name;
}

HiddenFields::HiddenFields(const std::vector<FieldPath>& all) {
  for (const auto& path : all) paths_.push_back(&path);
}

bool HiddenFields::hides(const pb::FieldDescriptor& field) const {
  return std::ranges::any_of(paths_, [&](const FieldPath* path) {
    return path->size() == depth_ + 1 && (*path)[depth_] == &field;
  });
}

HiddenFields HiddenFields::inside(const pb::FieldDescriptor& field) const {
  HiddenFields inner;
  inner.depth_ = depth_ + 1;
  for (const auto* path : paths_) {
    if (path->size() > depth_ + 1 && (*path)[depth_] == &field) inner.paths_.push_back(path);
  }
  return inner;
}

}  // namespace capstan::rpc
