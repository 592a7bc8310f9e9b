// Why this file exists: see service_tree.h.
#include "apps/capstan/service_tree.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <memory>
#include <ranges>

#include "apps/capstan/table.h"

namespace capstan::apps {

namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

constexpr std::size_t kColumns = 80, kServicesOfAGroup = 3, kDepthMax = 64;
constexpr std::array kServices = {"get_service", "post_service", "delete_service", "put_service",
                                  "patch_service"};

std::string text_of(const object& in, const char* name) {
  std::string_view text;
  return in[name].get(text) == simdjson::SUCCESS ? std::string(text) : std::string();
}

class Reader {
 public:
  explicit Reader(ServiceList& list) : list_(list) {}

  bool directory(const object& one, const std::vector<std::string>& path) {
    object node;
    if (path.size() > kDepthMax) return false;
    if (one["static"].get(node) == simdjson::SUCCESS) return services(node) && below(node, path);
    element dynamic;
    if (one["dynamic"].get(dynamic) != simdjson::SUCCESS) return false;
    list_.services.push_back({"", path, text_of(one, "dynamic")});
    return true;
  }

 private:
  std::string argument(const object& item) {
    const std::string name = text_of(item, "name");
    list_.arguments[name] = text_of(item, "descr");
    return "<" + name + ">" + (text_of(item, "id") == "multiple" ? "*" : "");
  }
  bool services(const object& node) {
    for (const char* const key : kServices) {
      object service;
      if (node[key].get(service) != simdjson::SUCCESS) continue;
      ListedService listed{text_of(service, "meth"), {}, text_of(service, "description")};
      array path;
      if (service["path"].get(path) != simdjson::SUCCESS) return false;
      for (const element item : path) {
        std::string_view literal;
        object single;
        if (item.get(literal) == simdjson::SUCCESS) {
          listed.path.emplace_back(literal);
        } else if (item.get(single) == simdjson::SUCCESS) {
          listed.path.push_back(argument(single));
        }
      }
      list_.services.push_back(std::move(listed));
    }
    return true;
  }
  bool child(const object& of, const std::vector<std::string>& path, std::string step) {
    object tree;
    std::string_view empty;
    if (of["tree"].get(empty) == simdjson::SUCCESS) return true;  // "empty"
    if (of["tree"].get(tree) != simdjson::SUCCESS) return false;
    auto longer = path;
    longer.push_back(std::move(step));
    return directory(tree, longer);
  }
  bool below(const object& node, const std::vector<std::string>& path) {
    object subdirs, dispatch, single;
    if (node["subdirs"].get(subdirs) != simdjson::SUCCESS) return true;
    if (subdirs["dynamic_dispatch"].get(dispatch) == simdjson::SUCCESS) {
      if (dispatch["arg"].get(single) != simdjson::SUCCESS) return false;
      return child(dispatch, path, argument(single));
    }
    array suffixes;
    if (subdirs["suffixes"].get(suffixes) != simdjson::SUCCESS) return false;
    for (const element suffix : suffixes) {
      object one;
      if (suffix.get(one) != simdjson::SUCCESS) return false;
      if (!child(one, path, text_of(one, "name"))) return false;
    }
    return true;
  }

  ServiceList& list_;
};

// Where methods are listed they come in this order (http-rpc section 3.2), however a node or a wire
// orders them; what has no method, a dynamic node, is first.
std::ptrdiff_t rank_of(const ListedService* service) {
  constexpr std::array<std::string_view, 6> kOrder = {"", "GET", "PUT", "DELETE", "POST", "PATCH"};
  return std::ranges::find(kOrder, service->method) - kOrder.begin();
}

// The services once more, by the steps of their paths.
struct Node {
  std::map<std::string, std::unique_ptr<Node>> children;
  std::vector<const ListedService*> services;

  std::size_t count() const {
    std::size_t all = services.size();
    for (const auto& [name, child] : children) all += child->count();
    return all;
  }
  bool has_literals() const {
    return std::ranges::any_of(children, [](const auto& one) { return one.first[0] != '<'; });
  }
};

std::string path_of(const ListedService& service) {
  std::string path;
  for (const auto& step : service.path) path += "/" + step;
  return path.empty() ? "/" : path;
}

void write_services(const Node& node, std::size_t indent, std::string& out) {
  auto services = node.services;
  std::ranges::sort(services, {}, rank_of);
  for (const auto* service : services) {
    out += std::string(indent, ' ') + "- " +
           (service->method.empty() ? path_of(*service) + " <dynamic>"
                                    : service->method + " " + path_of(*service)) +
           "\n";
    if (!service->description.empty()) out += wrapped(service->description, indent + 4) + "\n";
  }
}

// `above`: the steps since the group in which it is.
void write_node(const Node& node, const std::string& above, std::size_t indent, std::string& out) {
  for (const auto& [name, child] : node.children) {
    const std::string steps = above + name;
    if (child->has_literals() && child->count() >= kServicesOfAGroup) {
      const bool own = !child->services.empty();
      out += std::string(indent, ' ') + "+ " + steps + (own ? "\n" : "/\n");
      write_services(*child, indent + 2, out);
      write_node(*child, "", indent + 2, out);
    } else {
      write_services(*child, indent, out);
      write_node(*child, steps + "/", indent, out);
    }
  }
}

std::vector<std::string> steps_of(std::string_view path) {
  std::vector<std::string> steps;
  while (!path.empty()) {
    const auto slash = path.find('/');
    if (slash != 0) steps.emplace_back(path.substr(0, slash));
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
  }
  return steps;
}

// "PUT /kv/{store_id}/entries/{key}"
ListedService from_pattern(std::string_view text, ServiceList& list) {
  const auto blank = text.find(' ');
  ListedService service{std::string(text.substr(0, blank)), {}, {}};
  if (blank == std::string_view::npos) return service;
  for (auto& step : steps_of(text.substr(blank + 1))) {
    if (step.starts_with('{') && step.ends_with('}')) {
      const std::string name = step.substr(1, step.size() - 2);
      list.arguments[name];
      step = "<" + name + ">";
    }
    service.path.push_back(std::move(step));
  }
  return service;
}

bool is_below(const ListedService& service, const std::vector<std::string>& steps) {
  if (service.path.size() < steps.size()) return false;
  return std::ranges::equal(steps, service.path | std::views::take(steps.size()),
                            [](const auto& step, const auto& declared) {
                              return declared.starts_with('<') || step == declared;
                            });
}

}  // namespace

std::string wrapped(std::string_view text, std::size_t indent) {
  std::string out, line;
  const auto end_line = [&] {
    out += (out.empty() ? "" : "\n") + std::string(indent, ' ') + line;
    line.clear();
  };
  while (!text.empty()) {
    const auto blank = text.find_first_of(" \n");
    const auto word = text.substr(0, blank);
    text = blank == std::string_view::npos ? std::string_view() : text.substr(blank + 1);
    if (word.empty()) continue;
    if (!line.empty() && indent + shown_width(line) + 1 + shown_width(word) > kColumns) end_line();
    if (!line.empty()) line += ' ';
    line += word;
  }
  if (!line.empty()) end_line();
  return out;
}

Result<ServiceList> read_description(std::string_view json) {
  simdjson::dom::parser parser;
  object whole;
  ServiceList list;
  if (parser.parse(simdjson::padded_string(json)).get(whole) != simdjson::SUCCESS ||
      !Reader(list).directory(whole, {})) {
    return fail(Code::kInternal, "the node does not describe itself as it should");
  }
  return list;
}

ServiceList list_operations(const node::v1::DescribeOperationsResponse& operations,
                            const std::vector<std::string>& steps) {
  ServiceList list;
  for (const auto& operation : operations.operations()) {
    std::string_view names = operation.http();
    while (!names.empty()) {
      const auto comma = names.find(", ");
      ServiceList one;
      ListedService service = from_pattern(names.substr(0, comma), one);
      names = comma == std::string_view::npos ? std::string_view() : names.substr(comma + 2);
      if (!is_below(service, steps)) continue;
      service.description = operation.full_name();
      list.services.push_back(std::move(service));
      list.arguments.merge(one.arguments);
    }
  }
  return list;
}

std::string service_text(const ServiceList& list, std::size_t depth) {
  Node root;
  for (const auto& service : list.services) {
    Node* node = &root;
    for (std::size_t i = std::min(depth, service.path.size()); i < service.path.size(); ++i) {
      auto& child = node->children[service.path[i]];
      if (!child) child = std::make_unique<Node>();
      node = child.get();
    }
    node->services.push_back(&service);
  }
  std::string out = "Available services:\n\n";
  write_services(root, 2, out);
  write_node(root, "", 2, out);
  if (!list.arguments.empty()) out += "\nDynamic parameter description:\n\n";
  for (const auto& [name, description] : list.arguments) {
    if (description.empty()) {
      out += "  " + name + "\n";
    } else {
      out += "  <" + name + ">\n" + wrapped(description, 6) + "\n";
    }
  }
  out.pop_back();
  return out;
}

}  // namespace capstan::apps
