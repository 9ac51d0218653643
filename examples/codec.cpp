// A recording to codes and back by a folder that `xcodec export` wrote, in C++.
//
//     g++ -std=c++17 codec.cpp -I onnxruntime/include -L onnxruntime/lib -lonnxruntime -o codec
//     ./codec mini-onnx/ speech.raw out.raw
//
// Recordings are samples of 32-bit floats without a header, one channel: `ffmpeg -i speech.wav -f f32le -ac 1 -ar 16000 speech.raw`.
#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

template <typename T>
Ort::Value tensor(std::vector<T>& numbers, const std::vector<int64_t>& shape) {
  auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  return Ort::Value::CreateTensor<T>(memory, numbers.data(), numbers.size(), shape.data(), shape.size());
}

std::vector<Ort::Value> run(Ort::Env& env, const std::string& path, const char* input, Ort::Value given,
                            int64_t length, const char* output) {
  Ort::Session session(env, path.c_str(), Ort::SessionOptions{});
  std::vector<int64_t> lengths{length};
  std::vector<Ort::Value> inputs;
  inputs.push_back(std::move(given));
  inputs.push_back(tensor(lengths, {1}));
  const char* names[] = {input, "lengths"};
  return session.Run(Ort::RunOptions{}, names, inputs.data(), 2, &output, 1);
}

int main(int, char** argv) {
  const std::string folder = argv[1];
  std::ifstream source(argv[2], std::ios::binary);
  const std::vector<char> bytes(std::istreambuf_iterator<char>(source), {});
  const auto* first = reinterpret_cast<const float*>(bytes.data());
  std::vector<float> samples(first, first + bytes.size() / sizeof(float));
  const auto count = static_cast<int64_t>(samples.size());

  Ort::Env env;
  auto codes = run(env, folder + "/encoder.onnx", "audio", tensor(samples, {1, count}), count, "codes");
  const auto shape = codes[0].GetTensorTypeAndShapeInfo().GetShape();  // batch, codebooks, frames
  const auto* ids = codes[0].GetTensorData<int64_t>();
  for (int64_t i = 0; i < shape[1] * shape[2]; ++i) std::cout << ids[i] << ' ';

  auto audio = run(env, folder + "/decoder.onnx", "codes", std::move(codes[0]), shape[2], "audio");
  const auto made = audio[0].GetTensorTypeAndShapeInfo().GetElementCount();
  std::ofstream(argv[3], std::ios::binary)
      .write(reinterpret_cast<const char*>(audio[0].GetTensorData<float>()), made * sizeof(float));
}
