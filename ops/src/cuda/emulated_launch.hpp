// What a test calls, put behind the kernels' source: a kernel by its number in `Kernel`, its arguments as CUDA's driver takes them.

template <typename T>
T argument(void** arguments, int index) {
    return *static_cast<T*>(arguments[index]);
}

static void variances(void** a) {
    channel_variances(argument<const float*>(a, 0), argument<float*>(a, 1), argument<int>(a, 2));
}

static void projection(void** a) {
    project_variances(argument<const float*>(a, 0), argument<const float*>(a, 1), argument<float*>(a, 2), argument<int>(a, 3),
                      argument<int>(a, 4), argument<int>(a, 5));
}

static void mixing(void** a) {
    mix_channels(argument<const float*>(a, 0), argument<const float*>(a, 1), argument<const float*>(a, 2),
                 argument<const float*>(a, 3), argument<const float*>(a, 4), argument<const float*>(a, 5), argument<float*>(a, 6),
                 argument<int>(a, 7), argument<int>(a, 8), argument<int>(a, 9), argument<int>(a, 10), argument<float>(a, 11),
                 argument<float>(a, 12));
}

extern "C" bool launch(int kernel, unsigned blocks, unsigned threads, void** arguments) {
    void (*const kernels[])(void**) = {variances, projection, mixing};
    return emulation::launch(kernels[kernel], blocks, threads, arguments);
}
