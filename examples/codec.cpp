// A recording to codes and back by a folder that `xcodec export` wrote: codec mini-onnx/ speech.wav out.wav
// The recording is a WAV file of 16 bits with one channel at codec.json's sampling_rate. docs/export.md: how to build.
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iostream>

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(file), {}};
}

int main(int argc, char** argv) try {
  if (argc != 4) throw std::runtime_error("usage: codec FOLDER speech.wav out.wav");
  const std::filesystem::path folder = argv[1];
  const std::string json = read(folder / "codec.json"), wav = read(argv[2]);
  const auto number = [&](const std::string& key) { return std::stoul(json.substr(json.find(key) + key.size())); };
  const uint32_t rate = number("\"sampling_rate\":"), output_rate = number("\"output_sampling_rate\":");

  const auto word = [&](size_t at) { return uint8_t(wav.at(at)) | uint8_t(wav.at(at + 1)) << 8; };
  const auto two_words = [&](size_t at) { return word(at) | uint32_t(word(at + 2)) << 16; };
  if (word(22) != 1 || two_words(24) != rate || word(34) != 16)
    throw std::runtime_error("expected one channel of 16 bits at " + std::to_string(rate) + " Hz");
  size_t at = 12;  // of the chunks behind RIFF's header
  while (wav.compare(at, 4, "data") != 0) at += 8 + two_words(at + 4);
  std::vector<float> samples(std::min<size_t>(two_words(at + 4), wav.size() - at - 8) / 2);
  for (size_t i = 0; i < samples.size(); i++) samples[i] = int16_t(word(at + 8 + 2 * i)) / 32768.0f;

  Ort::Env env(ORT_LOGGING_LEVEL_ERROR);
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  int64_t shape[] = {1, int64_t(samples.size())};
  const Ort::Value clip[] = {Ort::Value::CreateTensor(memory, samples.data(), samples.size(), shape, 2),
                             Ort::Value::CreateTensor(memory, &shape[1], 1, shape, 1)};
  Ort::Session encoder(env, (folder / "encoder.onnx").c_str(), Ort::SessionOptions());
  const char *clip_names[] = {"audio", "lengths"}, *coded_names[] = {"codes", "code_lengths"};
  const auto coded = encoder.Run(Ort::RunOptions(), clip_names, clip, 2, coded_names, 2);
  const auto info = coded[0].GetTensorTypeAndShapeInfo();  // 1 x codebooks x frames
  std::cout << "1 x " << info.GetShape()[1] << " x " << info.GetShape()[2];
  for (size_t i = 0; i < info.GetElementCount(); i++) std::cout << ' ' << coded[0].GetTensorData<int64_t>()[i];
  std::cout << '\n';

  Ort::Session decoder(env, (folder / "decoder.onnx").c_str(), Ort::SessionOptions());
  const char *codes_names[] = {"codes", "lengths"}, *audio_names[] = {"audio"};
  const auto decoded = decoder.Run(Ort::RunOptions(), codes_names, coded.data(), 2, audio_names, 1);
  const float* audio = decoded[0].GetTensorData<float>();
  std::vector<int16_t> pcm((samples.size() * output_rate + rate / 2) / rate);  // codes fill whole hops
  for (size_t i = 0; i < pcm.size(); i++) pcm[i] = std::clamp(std::lround(32768 * audio[i]), -32768L, 32767L);
  const uint32_t size = 2 * pcm.size(), header[] = {0x46464952,  36 + size,       0x45564157, 0x20746d66, 16,  0x10001,
                                                    output_rate, 2 * output_rate, 0x100002,   0x61746164, size};
  std::ofstream stream(argv[3], std::ios::binary);
  stream.write(reinterpret_cast<const char*>(header), sizeof header);  // of a little-endian machine
  if (!stream.write(reinterpret_cast<const char*>(pcm.data()), size)) throw std::runtime_error("cannot write");
} catch (const std::exception& error) {
  std::cerr << "error: " << error.what() << '\n';
  return 1;
}
