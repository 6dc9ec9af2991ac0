// Opens a CE network in C++ with the native kernel, and says what it takes and gives.
// g++ -std=c++17 -Iinclude run.cpp -Llib -lonnxruntime -o run, with include and lib of an ONNX Runtime release; then
// ./run models/ce_resnet_caltech101/1/model.onnx
#include <onnxruntime_cxx_api.h>

#include <iostream>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: run model.onnx\n";
    return 2;
  }
  try {
    Ort::Env environment(ORT_LOGGING_LEVEL_WARNING, "ce");
    Ort::SessionOptions options;
    options.RegisterCustomOpsLibrary("target/release/libce_op.so");
    Ort::Session session(environment, argv[1], options);
    Ort::AllocatorWithDefaultOptions allocator;
    std::cout << session.GetInputNameAllocated(0, allocator).get() << " -> "
              << session.GetOutputNameAllocated(0, allocator).get() << "\n";
  } catch (const Ort::Exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
