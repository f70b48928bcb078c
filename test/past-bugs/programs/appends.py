"""A file is opened, appended to and closed, by four programs of two members, while others list and ask for attributes."""
from common import *

stop = False


def list_all(directory):
    while not stop:
        for entry in os.scandir(directory):
            try:
                entry.stat()
            except FileNotFoundError:
                pass


def append(directory, tag):
    draw = random.Random(tag)
    for i in range(40):
        with open(directory + '/log', 'ab', buffering=0) as file:
            file.write(b'<%c%04d%s>\n' % (tag, i, b'.' * draw.choice([0, 5, 100, 4080, 5000, 9000])))


open(A + '/log', 'w').close()
until(lambda: os.path.exists(B + '/log'))
listing = [threading.Thread(target=list_all, args=(at,)) for at in (A, B)]
writing = [threading.Thread(target=append, args=(at, tag)) for at, tag in ((A, 65), (B, 66), (A, 67), (B, 68))]
for thread in listing + writing:
    thread.start()
for thread in writing:
    thread.join()
stop = True
check(until(lambda: open(A + '/log', 'rb').read() == open(B + '/log', 'rb').read(), 5), 'not the same')
text = open(A + '/log', 'rb').read()
records = re.findall(rb'<([A-D])(\d{4})(\.*)>\n', text)
check(sum(8 + len(dots) for _, _, dots in records) == len(text), 'torn records')
check(len(records) == 160, 'lost', 160 - len(records))
for tag in (b'A', b'B', b'C', b'D'):
    check([int(n) for t, n, _ in records if t == tag] == list(range(40)), 'out of order', tag)
