// A recording to codes and back on ONNX Runtime, with what `xcodec export` wrote:
//
//     codec FOLDER speech.wav out.wav
//
// The recording has one channel of 16 bits at the codec's rate, and this machine is little-endian. docs/export.md tells
// how it is built.
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <regex>

using std::filesystem::path;

std::string bytes_of(const path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw std::runtime_error("cannot read " + file.string());
  return {std::istreambuf_iterator<char>(stream), {}};
}

int64_t number(const std::string& json, const std::string& name) {
  std::smatch found;
  if (!std::regex_search(json, found, std::regex('"' + name + "\": (\\d+)"))) throw std::runtime_error("no " + name);
  return std::stoll(found[1]);
}

std::vector<float> read_wav(const path& file, int64_t rate) {
  const std::string wav = bytes_of(file);
  const auto field = [&wav](size_t at, size_t size) {
    uint32_t value = 0;
    wav.substr(at, size).copy(reinterpret_cast<char*>(&value), size);
    return value;
  };
  if (field(22, 2) != 1 || field(24, 4) != rate || field(34, 2) != 16)
    throw std::runtime_error("expected one channel of 16 bits at " + std::to_string(rate) + " Hz");
  size_t at = 12;  // of the chunks behind RIFF's header
  while (wav.compare(at, 4, "data") != 0) at += 8 + field(at + 4, 4);
  std::vector<float> samples(std::min<size_t>(field(at + 4, 4), wav.size() - at - 8) / 2);
  for (size_t i = 0; i < samples.size(); i++) samples[i] = int16_t(field(at + 8 + 2 * i, 2)) / 32768.0f;
  return samples;
}

void write_wav(const path& file, const float* samples, uint32_t count, uint32_t rate) {
  std::vector<int16_t> pcm(count);
  std::transform(samples, samples + count, pcm.begin(),
                 [](float x) { return int16_t(std::lround(std::clamp(32768 * x, -32768.0f, 32767.0f))); });
  const uint32_t header[] = {0x46464952, 36 + 2 * count, 0x45564157, 0x20746d66, 16,       0x10001,
                             rate,       2 * rate,       0x100002,   0x61746164, 2 * count};
  std::ofstream stream(file, std::ios::binary);
  stream.write(reinterpret_cast<const char*>(header), sizeof header);
  if (!stream.write(reinterpret_cast<const char*>(pcm.data()), 2 * count)) throw std::runtime_error("cannot write");
}

int main(int argc, char** argv) try {
  if (argc != 4) throw std::runtime_error("usage: codec FOLDER speech.wav out.wav");
  const path folder = argv[1];
  const std::string json = bytes_of(folder / "codec.json");
  const int64_t rate = number(json, "sampling_rate"), output_rate = number(json, "output_sampling_rate");
  std::vector<float> samples = read_wav(argv[2], rate);
  int64_t length = samples.size();
  const int64_t shape[] = {1, length}, one = 1;

  Ort::Env env(ORT_LOGGING_LEVEL_ERROR);
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  Ort::Value clips[] = {Ort::Value::CreateTensor(memory, samples.data(), samples.size(), shape, 2),
                        Ort::Value::CreateTensor(memory, &length, 1, &one, 1)};
  Ort::Session encoder(env, (folder / "encoder.onnx").c_str(), Ort::SessionOptions());
  const char *audio_in[] = {"audio", "lengths"}, *codes_out[] = {"codes", "code_lengths"};
  const auto coded = encoder.Run(Ort::RunOptions(), audio_in, clips, 2, codes_out, 2);
  const auto info = coded[0].GetTensorTypeAndShapeInfo();  // 1 x codebooks x frames
  std::cout << "1 x " << info.GetShape()[1] << " x " << info.GetShape()[2];
  for (size_t i = 0; i < info.GetElementCount(); i++) std::cout << ' ' << coded[0].GetTensorData<int64_t>()[i];
  std::cout << '\n';

  Ort::Session decoder(env, (folder / "decoder.onnx").c_str(), Ort::SessionOptions());
  const char *codes_in[] = {"codes", "lengths"}, *audio_out[] = {"audio"};
  const auto decoded = decoder.Run(Ort::RunOptions(), codes_in, coded.data(), 2, audio_out, 1);
  const auto kept = uint32_t((length * output_rate + rate / 2) / rate);  // codes fill whole hops
  write_wav(argv[3], decoded[0].GetTensorData<float>(), kept, uint32_t(output_rate));
} catch (const std::exception& error) {
  std::cerr << "error: " << error.what() << '\n';
  return 1;
}
