// Writes the seed files of gguf_fuzz into the folder given: tiny, valid, and together using every part of the
// format.
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "claa/error.h"
#include "gguf/quants.h"
#include "gguf/raw_file.h"
#include "gguf/writer.h"

namespace {

using claa::gguf::TensorType;
using claa::gguf::ValueType;
using claa::gguf::Writer;
using claa::gguf::test::Bytes;

using Data = std::vector<std::byte>;

// As gguf_fuzz takes two files together.
void write_split(const std::vector<Writer>& files, const std::string& path) {
  const Data first = files[0].to_bytes(), second = files[1].to_bytes();
  std::ofstream out(path, std::ios::binary);
  const auto size = static_cast<uint32_t>(first.size());
  out << "SPLIT";
  out.write(reinterpret_cast<const char*>(&size), sizeof(size));
  for (const Data* file : {&first, &second})
    out.write(reinterpret_cast<const char*>(file->data()), static_cast<std::streamsize>(file->size()));
}

void write_seeds(const std::string& folder) {
  Writer().write(folder + "/empty.gguf");

  Writer scalars(2);
  scalars.add("a.u8", uint8_t{1});
  scalars.add("a.i8", int8_t{-1});
  scalars.add("a.u16", uint16_t{2});
  scalars.add("a.i16", int16_t{-2});
  scalars.add("a.u32", uint32_t{3});
  scalars.add("a.i32", int32_t{-3});
  scalars.add("a.u64", uint64_t{4});
  scalars.add("a.i64", int64_t{-4});
  scalars.add("a.f32", 0.5f);
  scalars.add("a.f64", -0.5);
  scalars.add("a.bool", true);
  scalars.add("a.string", std::string("text"));
  scalars.write(folder + "/scalars_v2.gguf");

  Writer arrays;
  arrays.add("u8", std::vector<uint8_t>{1, 2});
  arrays.add("i32", std::vector<int32_t>{-1, 2});
  arrays.add("u64", std::vector<uint64_t>{1, ~uint64_t{0}});
  arrays.add("f32", std::vector<float>{1, 2});
  arrays.add("bool", std::vector<bool>{true, false});
  arrays.add("string", std::vector<std::string>{"a", "", "bc"});
  arrays.add_raw("nested", ValueType::kArray,
                 Bytes().array(9, 2).array(0, 1).u8(7).array(8, 1).text("x").data);
  arrays.write(folder + "/arrays.gguf");

  for (const TensorType type : claa::gguf::all_types()) {
    Writer tensor(3, 8);
    const std::string name(type_name(type));
    tensor.add_tensor(name, {block_elements(type), 2}, type, Data(2 * block_bytes(type), std::byte{0x35}));
    tensor.write(folder + "/tensor_" + name + ".gguf");
  }

  Writer several(3, 64);
  several.add("general.architecture", std::string("llama"));
  several.add_tensor("one", {3}, TensorType::kF32, Data(12));
  several.add_tensor("four", {2, 1, 3, 1}, TensorType::kF16, Data(12));
  several.write(folder + "/several.gguf");

  several.add_tensor("w.weight", {64, 1, 2}, TensorType::kNVFP4, Data(72, std::byte{0x35}));
  several.add_tensor("w.scale", {2}, TensorType::kF32, Data(8, std::byte{0x3f}));
  write_split(several.split({1, 3}), folder + "/split");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: gguf_seeds FOLDER\n");
    return 2;
  }
  try {
    write_seeds(argv[1]);
  } catch (const claa::Error& error) {
    std::fprintf(stderr, "gguf_seeds: %s\n", error.what());
    return 1;
  }
  return 0;
}
