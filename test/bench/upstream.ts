// The upstream of the benchmark in a process of its own, so that its work is not counted as anybody else's.
import { startRecordingUpstream } from '../support/recording-upstream.ts';

const upstream = await startRecordingUpstream({ legacy: true, modern: false });
process.send?.({ url: upstream.url });
process.once('disconnect', () => process.exit(0));
