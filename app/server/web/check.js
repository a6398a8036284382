// Checks of a file before it is sent, and the small copy that the comparison shows later.

const maxBytes = 20 * 2 ** 20;
// The page contains the server's limit, so that both refuse the same photos.
export const maxPixels = Number(document.querySelector('meta[name="max-pixels"]').content);

const copySide = 1600; // px of the longer side: sharp on a large screen, a few hundred KB in the browser's storage

// Returns a version 4 UUID. crypto.randomUUID exists only in secure contexts, so not without a certificate.
export function uuid() {
	const b = crypto.getRandomValues(new Uint8Array(16));
	b[6] = (b[6] & 0x0f) | 0x40;
	b[8] = (b[8] & 0x3f) | 0x80;
	const hex = Array.from(b, (x) => x.toString(16).padStart(2, '0')).join('');
	return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

const tenths = (x) => (Math.ceil(x * 10) / 10).toLocaleString('en', { maximumFractionDigits: 1 });

// Returns why the server would refuse these bytes, or ''. File names and types may be wrong, so the first bytes decide.
async function badFormat(file) {
	let head;
	try {
		head = new Uint8Array(await file.slice(0, 32).arrayBuffer());
	} catch {
		return 'This file cannot be opened. If it is a folder, choose the photos in it.';
	}
	const text = String.fromCharCode(...head);
	if (text.startsWith('\xff\xd8\xff') || text.startsWith('\x89PNG\r\n\x1a\n') || /^GIF8[79]a/.test(text)) return '';
	if (/^RIFF....WEBP/s.test(text)) {
		const animated = text.slice(12, 16) === 'VP8X' && head[20] & 2;
		return animated ? 'This is an animated WebP. Only still pictures can be processed.' : '';
	}
	if (text.slice(4, 8) === 'ftyp') return 'This is a HEIC, AVIF or video file. Save the photo as JPEG and try again.';
	return 'This is not a photo in a supported format: JPEG, PNG, GIF or WebP.';
}

// Resolves to an <img> that knows its size, or null when this browser cannot show the file. Only the header is
// decoded for that, so a picture of extreme dimensions needs no memory yet.
function load(url) {
	return new Promise((resolve) => {
		const img = new Image();
		img.onload = () => resolve(img);
		img.onerror = () => resolve(null);
		img.src = url;
	});
}

// Checks a file before it is sent: {reason} if it would be refused, else {url} for the preview. A file that only
// this browser cannot show has an empty url and is sent anyway; the server decides.
export async function inspect(file) {
	const mb = (bytes) => `${tenths(bytes / 2 ** 20)} MB`;
	if (file.size > maxBytes) return { reason: `This photo has ${mb(file.size)}; up to ${mb(maxBytes)} can be sent.` };
	const reason = file.size === 0 ? 'This file is empty.' : await badFormat(file);
	if (reason) return { reason };
	const url = URL.createObjectURL(file);
	const img = await load(url);
	if (!img) return { url: '' };
	const [w, h] = [img.naturalWidth, img.naturalHeight];
	if (w * h <= maxPixels) return { url };
	URL.revokeObjectURL(url);
	const size = `${w.toLocaleString('en')} × ${h.toLocaleString('en')} pixels, ${tenths((w * h) / 1e6)} million`;
	return { reason: `This photo has ${size}; up to ${tenths(maxPixels / 1e6)} million can be processed.` };
}

// One decode at a time: a 50 megapixel photo takes 200 MB while it is drawn.
let turn = Promise.resolve();

// Resolves to a small upright copy of the picture at url, or null when this browser cannot draw it.
export function shrink(url, type) {
	turn = turn.then(async () => {
		try {
			const img = await load(url);
			await img.decode();
			const scale = Math.min(1, copySide / Math.max(img.naturalWidth, img.naturalHeight));
			const canvas = document.createElement('canvas');
			canvas.width = Math.max(1, img.naturalWidth * scale);
			canvas.height = Math.max(1, img.naturalHeight * scale);
			canvas.getContext('2d').drawImage(img, 0, 0, canvas.width, canvas.height);
			// JPEG has no transparency; everything else keeps it.
			const format = type === 'image/jpeg' ? type : 'image/webp';
			return await new Promise((resolve) => canvas.toBlob(resolve, format, 0.85));
		} catch {
			return null;
		}
	});
	return turn;
}
