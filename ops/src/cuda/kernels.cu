// The operator on [N, C, H, W] tensors of floats, in three steps. GROUP_WIDTH, channels a group, is defined by who compiles this.

// A group's matrix in shared memory and a pixel's channels in registers, where they fit.
#define FITS (GROUP_WIDTH <= 64)

namespace {

constexpr int WARP = 32;
constexpr unsigned ALL_LANES = 0xffffffff;

__device__ float warp_sum(float value) {
    for (int distance = WARP / 2; distance > 0; distance /= 2) {
        value += __shfl_xor_sync(ALL_LANES, value, distance);
    }
    return value;
}

// The sum over a block of whole warps, known to all its threads.
__device__ float block_sum(float value) {
    __shared__ float sums[WARP];
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    value = warp_sum(value);
    if (lane == 0) sums[warp] = value;
    __syncthreads();
    value = warp_sum(lane < warps ? sums[lane] : 0.0f);
    // who is late still reads what the next sum writes
    __syncthreads();
    return value;
}

}  // namespace

// variance [N, C], unbiased, of x [N, C, pixels]; a block for each channel of each sample.
extern "C" __global__ void channel_variances(const float* __restrict__ x, float* __restrict__ variance, int pixels) {
    const float* channel = x + static_cast<size_t>(blockIdx.x) * pixels;
    float sum = 0.0f;
    for (int pixel = threadIdx.x; pixel < pixels; pixel += blockDim.x) sum += channel[pixel];
    const float mean = block_sum(sum) / pixels;
    float squares = 0.0f;
    for (int pixel = threadIdx.x; pixel < pixels; pixel += blockDim.x) {
        const float centred = channel[pixel] - mean;
        squares += centred * centred;
    }
    squares = block_sum(squares);
    if (threadIdx.x == 0) variance[blockIdx.x] = squares / (pixels - 1);
}

// projected [N, hidden] = variance [N, C] by fc1 [hidden, C]; a warp for each number.
extern "C" __global__ void project_variances(const float* __restrict__ variance, const float* __restrict__ fc1,
                                             float* __restrict__ projected, int batch, int channels, int hidden) {
    const size_t warp = (static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x) / WARP;
    const size_t sample = warp / hidden, unit = warp % hidden;
    if (sample >= batch) return;
    const float* values = variance + sample * channels;
    const float* weights = fc1 + unit * channels;
    float sum = 0.0f;
    for (int channel = threadIdx.x % WARP; channel < channels; channel += WARP) sum += values[channel] * weights[channel];
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0) projected[warp] = sum;
}

// y [N, C, pixels]: for each sample and group the whitening with the scaled gate on its diagonal, by the group's channels. A
// block takes blockDim.x pixels of one group of one sample, and makes the group's gates anew: they are few.
extern "C" __global__ void mix_channels(const float* __restrict__ x, const float* __restrict__ projected,
                                        const float* __restrict__ whitening, const float* __restrict__ ln_scale,
                                        const float* __restrict__ ln_bias, const float* __restrict__ fc2,
                                        float* __restrict__ y, int groups, int pixels, int hidden, int tiles,
                                        float gate_scale, float epsilon) {
    const int tile = blockIdx.x % tiles;
    const size_t slab = blockIdx.x / tiles;  // of sample and group
    const int group = slab % groups;
    const float* projection = projected + slab / groups * hidden;
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;

    float sum = 0.0f;
    for (int unit = threadIdx.x; unit < hidden; unit += blockDim.x) sum += projection[unit];
    const float mean = block_sum(sum) / hidden;
    float squares = 0.0f;
    for (int unit = threadIdx.x; unit < hidden; unit += blockDim.x) {
        const float centred = projection[unit] - mean;
        squares += centred * centred;
    }
    const float inverse_deviation = 1.0f / sqrtf(block_sum(squares) / hidden + epsilon);

    __shared__ float gates[GROUP_WIDTH];
    for (int row = warp; row < GROUP_WIDTH; row += warps) {
        const float* weights = fc2 + (static_cast<size_t>(group) * GROUP_WIDTH + row) * hidden;
        float logit = 0.0f;
        for (int unit = lane; unit < hidden; unit += WARP) {
            const float normalised = (projection[unit] - mean) * inverse_deviation * ln_scale[unit] + ln_bias[unit];
            logit += weights[unit] * fmaxf(normalised, 0.0f);
        }
        logit = warp_sum(logit);
        if (lane == 0) gates[row] = gate_scale / (1.0f + expf(-logit));
    }
    __syncthreads();

    const float* whitening_of_group = whitening + static_cast<size_t>(group) * GROUP_WIDTH * GROUP_WIDTH;
#if FITS
    __shared__ __align__(16) float mixing[GROUP_WIDTH * GROUP_WIDTH];
    for (int at = threadIdx.x; at < GROUP_WIDTH * GROUP_WIDTH; at += blockDim.x) {
        const int row = at / GROUP_WIDTH, column = at % GROUP_WIDTH;
        mixing[at] = whitening_of_group[at] + (row == column ? gates[row] : 0.0f);
    }
    __syncthreads();
#endif

    const int pixel = tile * blockDim.x + threadIdx.x;
    if (pixel >= pixels) return;
    const float* source = x + slab * GROUP_WIDTH * pixels + pixel;
    float* target = y + slab * GROUP_WIDTH * pixels + pixel;
#if FITS
    float values[GROUP_WIDTH];
#pragma unroll
    for (int column = 0; column < GROUP_WIDTH; ++column) values[column] = source[static_cast<size_t>(column) * pixels];
#pragma unroll 4
    for (int row = 0; row < GROUP_WIDTH; ++row) {
        float mixed = 0.0f;
#pragma unroll
        for (int column = 0; column < GROUP_WIDTH; ++column) mixed += mixing[row * GROUP_WIDTH + column] * values[column];
        target[static_cast<size_t>(row) * pixels] = mixed;
    }
#else
    for (int row = 0; row < GROUP_WIDTH; ++row) {
        float mixed = gates[row] * source[static_cast<size_t>(row) * pixels];
        for (int column = 0; column < GROUP_WIDTH; ++column) {
            mixed += whitening_of_group[static_cast<size_t>(row) * GROUP_WIDTH + column] * source[static_cast<size_t>(column) * pixels];
        }
        target[static_cast<size_t>(row) * pixels] = mixed;
    }
#endif
}
