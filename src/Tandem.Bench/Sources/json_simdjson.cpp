// A limit, not a way to write a backend: simdjson's on-demand parser filling the same records.
#include <cstdint>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "simdjson.h"

struct record {
    int64_t id;
    std::string email, name, created_at;
    bool is_active;
    double score;
    std::vector<std::string> tags;
};

static std::vector<record> kept;

static size_t parse(const std::string &path) {
    using namespace simdjson;
    auto json = padded_string::load(path).value();
    ondemand::parser parser;
    auto document = parser.iterate(json).value();
    kept.clear();
    for (auto item : document.get_array().value()) {
        auto object = item.get_object().value();
        record r;
        r.id = object["id"].get_int64().value();
        r.email = std::string_view(object["email"].get_string().value());
        r.name = std::string_view(object["name"].get_string().value());
        r.created_at = std::string_view(object["created_at"].get_string().value());
        r.is_active = object["is_active"].get_bool().value();
        r.score = object["score"].get_double().value();
        for (auto tag : object["tags"].get_array().value()) r.tags.emplace_back(std::string_view(tag.get_string().value()));
        kept.push_back(std::move(r));
    }
    return kept.size();
}

static std::string check() {
    int64_t ids = 0;
    size_t names = 0, tags = 0;
    for (const auto &r : kept) {
        ids += r.id;
        tags += r.tags.size();
        for (unsigned char c : r.name) names += (c & 0xC0) != 0x80;
    }
    std::ostringstream out;
    out << kept.size() << ' ' << ids << ' ' << names << ' ' << tags;
    return out.str();
}

int main() {
    std::cout << "ready" << std::endl;
    std::string line;
    while (std::getline(std::cin, line)) {
        auto blank = line.find(' ');
        if (line.substr(0, blank) == "parse") std::cout << "ok " << parse(line.substr(blank + 1)) << std::endl;
        else std::cout << "ok " << check() << std::endl;
    }
}
