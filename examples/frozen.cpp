// Answer with a task that `handful freeze` wrote, in C++: onnxruntime alone, nothing of handful.
//
// g++ -std=c++17 frozen.cpp -I/usr/include/onnxruntime -lonnxruntime -o frozen
// ./frozen model.onnx < example        the bytes of one example, as the model's `input` has it:
//                                      uint8 pixels of a picture, else float32 in little endian
#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <iostream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

int main(int count, char** arguments) {
  if (count != 2) {
    std::cerr << "usage: frozen MODEL.onnx < EXAMPLE\n";
    return 2;
  }
  try {
    Ort::Env env(ORT_LOGGING_LEVEL_ERROR);
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(1);
    Ort::Session session(env, arguments[1], options);

    std::vector<char> bytes{std::istreambuf_iterator<char>(std::cin), {}};
    auto type = session.GetInputTypeInfo(0);
    auto info = type.GetTensorTypeAndShapeInfo();
    auto shape = info.GetShape();
    shape[0] = 1;  // Q, the number of examples asked at once
    size_t wanted = info.GetElementType() == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT ? sizeof(float) : 1;
    for (auto size : shape) wanted *= size;
    if (bytes.size() != wanted) {
      std::cerr << "the example has " << bytes.size() << " bytes, wanted " << wanted << "\n";
      return 1;
    }
    auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    auto input = Ort::Value::CreateTensor(memory, bytes.data(), bytes.size(), shape.data(),
                                          shape.size(), info.GetElementType());

    const char* inputs[] = {"input"};
    const char* outputs[] = {"probabilities", "index"};
    auto answers = session.Run(Ort::RunOptions{}, inputs, &input, 1, outputs, 2);
    auto index = *answers[1].GetTensorData<int64_t>();
    if (index < 0) {
      std::cout << "none of these\n";
      return 0;
    }
    Ort::AllocatorWithDefaultOptions allocator;
    auto labels = session.GetModelMetadata().LookupCustomMetadataMapAllocated("labels", allocator);
    std::istringstream lines(labels.get());
    std::string label;
    for (int64_t at = 0; at <= index; ++at) std::getline(lines, label);
    std::cout << label << " " << answers[0].GetTensorData<float>()[index] << "\n";
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
  }
}
