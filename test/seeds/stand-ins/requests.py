# Stand-in for the `requests` package: just the `post` and `Response.json` that the printed example uses, on urllib, so that the example runs
# where nothing can be installed. Prints status and body of every answer as one JSON line, for the test to read.
import json as _json
import urllib.error
import urllib.request


class Response:
    def __init__(self, status_code, content):
        self.status_code = status_code
        self.content = content

    def json(self):
        return _json.loads(self.content)


def post(url, json=None, headers=None):
    request = urllib.request.Request(url, data=_json.dumps(json).encode(), headers=headers or {}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            response = Response(answer.status, answer.read())
    except urllib.error.HTTPError as error:
        # Like `requests`: a status is an answer, not an exception.
        response = Response(error.code, error.read())
    print(_json.dumps({"status": response.status_code, "body": response.json()}))
    return response
